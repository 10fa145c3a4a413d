"""The kinds of DNS servers that may be asked: a module each."""
