"""Threads: one that is kept and used again, and what all of them are doing."""
