"""Layers of a loaded model, in a form that takes rows."""
