"""Keys and values: how rows hold them, what they weigh, and how to cut, copy and restore them."""
