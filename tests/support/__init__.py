"""Models, engines, servers and clients that the tests of several folders start."""
