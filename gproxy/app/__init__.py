"""The assembly: options become wired objects here, and only here does anybody know everybody."""
