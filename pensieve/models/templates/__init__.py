"""Chat templates as untrusted programs: a sandbox in which every operation has a cost and a limit."""
