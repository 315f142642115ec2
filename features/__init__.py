"""The conformance suite: chapters of scenarios that judge any server of the Messages API over HTTP."""
