"""Chapters on the Messages API itself: requests, replies, streams, errors, and the official SDK."""
