"""Chapters on tools: calls, results, and the official SDK's tool runner."""
