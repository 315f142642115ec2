"""Chapters on the form of an answer: thinking and structured output."""
