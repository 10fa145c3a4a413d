"""Text to nodes and nodes to text: pure, without files or sockets."""
