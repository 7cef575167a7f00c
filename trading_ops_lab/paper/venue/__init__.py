"""The paper venue: a process of its own that speaks Kraken's REST and WebSocket dialect.

The way of a request: `edge` (faults, sessions) → `rest_private` (`signing`: key, signature,
nonce) → `engine` (orders, balances) → `store` (one commit) → `wire` (Kraken's shapes).
The way of a price: `prices` (seeded walk) → `crowd` (everyone else's orders) → `market` → `feed`.
"""
