"""Prepared replies instead of a model, for tests of servers and clients."""
