"""Formats that more than one room uses, without input or output: bytes in, values out, and back."""
