"""Gates on speed, most of them ratios within one run."""
