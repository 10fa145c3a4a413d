"""Rules: which session goes where. Compiled once, matched without input or output."""
