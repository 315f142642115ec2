"""Which gates apply on this machine, the table of results, and earlier runs."""
