"""What a bot can say of itself, one class a topic; `BotMetrics` is all of them at once."""
