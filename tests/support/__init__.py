"""Models, engines, servers and clients that several test folders share."""
