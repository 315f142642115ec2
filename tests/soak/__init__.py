"""Serves mixed loads for a long time, with faults in between, and compares each answer with an idle server's."""
