"""Decisions without effects: no MLX, no files, no threads, no network, so that they are tested in microseconds."""
