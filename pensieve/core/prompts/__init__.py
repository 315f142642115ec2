"""The canonical form of a prompt, the same from turn to turn."""
