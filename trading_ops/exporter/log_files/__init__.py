"""Log files: how fast they grow, and what is in them."""
