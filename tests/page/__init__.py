"""The status page in headless Chromium (`tox -e page`)."""
