"""The WebSocket feed of Kraken's API v2.

`hub` has the connections, `requests` handles client messages, `market_data` and `account_data`
produce the channels, and `order_entry` accepts orders.
"""
