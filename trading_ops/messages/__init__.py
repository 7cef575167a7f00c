"""Messages to people: `bot_events` and `announce` create them, `outbox` stores and delivers them.

Channels, routes and templates are in `trading_ops.notify`.
"""
