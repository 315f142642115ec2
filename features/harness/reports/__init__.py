"""A run's record as Markdown, JSON and HTML."""
