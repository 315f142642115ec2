"""Chapters on what Claude Code depends on: stable prompts and the prompt cache."""
