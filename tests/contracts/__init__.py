"""Tests of the contracts themselves: clauses, checks, streams and gates."""
