"""What the bot must not forget, and the only SQL of it."""
