"""JSON schemas as a grammar can enforce them: the rest is named."""
