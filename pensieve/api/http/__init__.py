"""What both wire formats share: bodies, errors, server-sent events, access rules."""
