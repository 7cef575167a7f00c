"""paper/bot."""
