"""What holds wherever pytest is started: the suite's options and hooks."""

pytest_plugins = ["features.harness.plugin"]
