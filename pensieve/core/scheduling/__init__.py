"""Which requests are accepted, and how much of a prompt one step prefills."""
