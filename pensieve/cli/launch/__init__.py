"""`pensieve launch claude`: finds or starts a server, then becomes Claude Code."""
