"""Minimal implementations that keep their contracts."""
