"""The command line. Commands read arguments, call the rooms below, print, and choose the exit code."""
