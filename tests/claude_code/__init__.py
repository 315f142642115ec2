"""Tests with the real Claude Code as the client."""
