"""`pensieve service`: the server as a service of the user's own, under launchd or systemd (U6)."""
