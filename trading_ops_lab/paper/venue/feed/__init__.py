"""The WebSocket feed in Kraken's v2 dialect.

`hub` has the connections, `requests` reads what clients ask, `market_data` and `account_data` say
what they subscribed to, `order_entry` takes orders.
"""
