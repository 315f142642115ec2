"""From a model's folder to a model in memory: checks with clear errors, config, weights, adapters."""
