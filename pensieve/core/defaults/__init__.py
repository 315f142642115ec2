"""Sampling defaults and the operator's settings for a model."""
