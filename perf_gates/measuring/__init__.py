"""Timing and memory measurements that the gates share."""
