"""Prompts that begin alike: what can be reused of them, and when to wait for it."""
