"""What holds wherever pytest is started: the suite's options and hooks, and how hypothesis plays."""

import hypothesis

pytest_plugins = ["features.harness.plugin"]

hypothesis.settings.register_profile("pensieve", deadline=None)  # machines of CI are shared, and their pace varies
hypothesis.settings.load_profile("pensieve")
