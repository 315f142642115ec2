"""Tests of the conformance suite itself: its chapters, its harness and its reports."""
