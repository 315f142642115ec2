"""Tests of contracts/values."""
