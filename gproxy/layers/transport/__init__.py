"""What a stream looks like on its way."""
