"""`pensieve models`: the models on this machine."""
