"""`pensieve fit`: the figures of a model on this machine, and their report."""
