"""Durable records: orders, fills, positions, events and facts; the only SQL of botkit."""
