"""A chapter on models: the list, its pages and the claude names."""
