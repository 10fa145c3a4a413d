"""Nodes from elsewhere: how they are written down, and later where they are fetched from."""
