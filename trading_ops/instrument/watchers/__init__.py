"""What watches a bot from inside its process, each part switched on or off by a setting."""
