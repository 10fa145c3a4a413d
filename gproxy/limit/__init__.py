"""Saying no in time."""
