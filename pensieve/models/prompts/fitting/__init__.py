"""Finds the form of a conversation in which a chat template drops, repeats and refuses nothing."""
