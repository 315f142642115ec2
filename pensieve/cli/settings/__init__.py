"""The settings of `pensieve serve`: flags, environment variables and files, parsed into one value."""
