"""The notations that dialects write the arguments of a call in."""
