"""Turns one row's logits into its next token: samplers, grammars, thinking budgets, and the decode step itself."""
