"""gproxy: a universal proxy server for Linux, one greenlet for each connection."""

__version__ = "0.1.0"
