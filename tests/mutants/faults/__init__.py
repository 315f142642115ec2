"""The faults of the mutants: one function each, one module for each kind of request."""
