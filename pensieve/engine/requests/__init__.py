"""One request on its way through the engine, from its ticket to its output events."""
