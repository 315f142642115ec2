"""Tests of features/harness/wire."""
