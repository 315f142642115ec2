"""Continuous batching: several requests in one forward pass."""
