"""Rows: the keys and values of requests that are decoded together, each in its own memory."""
