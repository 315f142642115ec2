"""Checks of the JSON schemas that clients send."""
