"""Tests of contracts/checks."""
