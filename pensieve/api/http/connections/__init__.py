"""What connections may take: bodies that arrive slowly or not at all, and clients that do not read."""
