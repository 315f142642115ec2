"""Servers with one fault each, and the proof that the suite's scenarios catch them."""
