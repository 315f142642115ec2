"""Tests with other people's clients, in their newest versions."""
