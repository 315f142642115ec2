"""Which models are in memory, and which requests use them."""
