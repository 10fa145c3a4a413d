"""Flows of their own kind inside a stream: datagrams, and many streams."""
