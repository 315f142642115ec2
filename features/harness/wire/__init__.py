"""Everything that goes over HTTP: clients, streams, SDKs, and what a scenario expects of an answer."""
