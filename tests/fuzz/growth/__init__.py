"""What may be larger than requests: the same search as for their dimensions."""
