"""Chapters on OpenAI's API: chat completions, completions, models, errors, and OpenAI's SDK."""
