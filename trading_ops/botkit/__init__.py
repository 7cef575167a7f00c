"""Building blocks for a crash-safe trading bot; each can be used alone. See docs/botkit.md."""
