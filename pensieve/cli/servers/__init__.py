"""The servers that run on this machine: finding them, asking them, and the commands about them."""
