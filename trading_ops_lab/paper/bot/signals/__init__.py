"""What tells the bot what to hold."""
