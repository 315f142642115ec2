"""Heads that predict the token after the next one, which some checkpoints have beside the model."""
