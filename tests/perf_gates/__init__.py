"""Tests of the code that measures and reports the gates."""
