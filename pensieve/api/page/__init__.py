"""The status page: static files, which read `/health` and `/logs` and send `/v1/messages` like any client."""
