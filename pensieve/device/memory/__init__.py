"""Memory that is reserved before it is used."""
