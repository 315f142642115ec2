"""Runs the documentation's commands as a reader would: in an empty home, line by line, page by page."""
