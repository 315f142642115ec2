"""Tests of contracts/protocols."""
