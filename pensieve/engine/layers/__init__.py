"""Layers of a loaded model that are replaced by layers that compute the same faster."""
