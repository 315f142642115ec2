"""The machinery of the suite: it picks scenarios, starts servers, and judges and reports their answers."""
