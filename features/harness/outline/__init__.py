"""What a run covers: the command line, the tags of scenarios, and the registry of capabilities."""
