"""Attacks on what the server writes about its requests."""
