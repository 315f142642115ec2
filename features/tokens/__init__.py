"""A chapter on counting tokens."""
