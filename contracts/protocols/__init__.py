"""One Protocol for each part of the server, with its clauses."""
