"""One file per metric topic: what is exported, and how a bot records it."""
