"""The paper venue: a separate process with Kraken's REST and WebSocket API.

A request: `edge_middleware` (faults, sessions) → `rest_private` (`signing`: key, signature, nonce)
→ `engine` (orders, balances) → `store` (one commit) → `rest_shapes` (Kraken's format). A price:
`prices` (seeded walk) → `other_traders` (simulated orders) → `market` → `feed`.
"""
