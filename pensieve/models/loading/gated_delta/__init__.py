"""The gated delta rule of hybrid models, computed chunk by chunk where MLX has no kernel for it."""
