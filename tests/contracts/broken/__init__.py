"""Implementations that each break one clause on purpose."""
