"""`pensieve config`: shows, checks and edits the settings, and the page that documents them."""
