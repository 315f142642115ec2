"""The server's contracts as code: Protocols with clauses, their values, checks for any implementation, and gates."""
