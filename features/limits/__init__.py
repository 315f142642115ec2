"""A chapter on limits: the context window, the queue and the rate."""
