"""Gates on memory: how much is used, and what happens when it runs short."""
