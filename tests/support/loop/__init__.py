"""Plugins of pytest for `tox -e fast`."""
