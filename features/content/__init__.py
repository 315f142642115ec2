"""Chapters on the content of a conversation: system messages, documents and images."""
