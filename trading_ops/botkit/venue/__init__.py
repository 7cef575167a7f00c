"""The venue: the adapter protocol and its errors, a ccxt adapter, and the broker that uses them."""
