"""Tests that use the official SDK and, for the most part, the embedded model."""
