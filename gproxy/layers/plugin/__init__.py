"""SIP003 plugins: what they may be, and those that are programs of their own."""
