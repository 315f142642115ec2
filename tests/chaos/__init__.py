"""Attacks on a real server, while another client reads a stream from it."""
