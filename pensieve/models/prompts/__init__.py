"""Renders conversations to token ids with the model's chat template, with boundaries for the prompt cache."""
