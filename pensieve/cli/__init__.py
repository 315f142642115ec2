"""The `pensieve` command: one package or module per subcommand, over settings and the composition root in `wiring`."""
