"""Thousands of random requests and files. Each is made from its number alone, so that any of them can be made again."""
