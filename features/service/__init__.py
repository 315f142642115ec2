"""Chapters on the server: keys, headers, browsers, health and metrics."""
