"""What stands between the bot and a venue: the seam, and the adapters behind it."""
