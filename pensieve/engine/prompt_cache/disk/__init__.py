"""KV caches on disk: they survive a restart, and a kill at any moment."""
