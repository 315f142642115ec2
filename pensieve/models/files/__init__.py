"""Files in Pensieve's home and model folders on disk: written atomically, checked, with progress reports."""
