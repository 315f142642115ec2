"""What the steps of one scenario share: its fixtures, requests, tools and media."""
