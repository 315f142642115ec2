"""How the performance gates of `contracts/gates.toml` are measured."""
