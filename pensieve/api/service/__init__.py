"""What the server reports about itself to monitoring systems."""
