"""`pensieve run` and `pensieve chat`: asking a model in the terminal."""
