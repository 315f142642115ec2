"""What a run finds out: one verdict for each scenario, and the record of the whole run."""
