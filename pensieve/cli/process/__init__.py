"""How the process of a command begins and ends, whatever the command."""
