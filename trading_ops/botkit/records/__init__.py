"""What a bot must not forget: orders, fills, events, facts; the only SQL of botkit."""
