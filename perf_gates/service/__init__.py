"""Gates on correctness and access rather than speed."""
