"""Processes: who owns the sockets, who serves them, and who gives the orders."""
