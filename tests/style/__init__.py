"""Checks of the wording of this repository's text files."""
