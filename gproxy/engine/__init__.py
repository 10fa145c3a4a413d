"""The heart: from an accepted stream to a finished relay."""
