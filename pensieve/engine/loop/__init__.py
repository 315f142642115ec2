"""The loop of the one thread that owns MLX, and the mailbox through which other threads reach it."""
