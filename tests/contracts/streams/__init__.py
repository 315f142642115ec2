"""Tests of contracts/streams."""
