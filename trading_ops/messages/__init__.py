"""Messages that do not page: `bot_events` and `announce` create them, `outbox` delivers them.

Channels, routes and templates are in `trading_ops.notify`.
"""
