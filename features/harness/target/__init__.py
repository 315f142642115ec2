"""The servers that a run judges: target files, and how a server is reached or started."""
