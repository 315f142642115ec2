"""`pensieve serve`: the life of a server, from its socket to its last answer."""
