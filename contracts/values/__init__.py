"""The values that cross a boundary between parts: frozen, and made of the standard library."""
