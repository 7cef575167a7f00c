"""Nonces of one key: strictly increasing, whatever dies or goes back.

`ceiling` is the durable file, `folder` says which processes may use it, `owner` and `shared` count
below it, and `issuer` is what the broker asks.
"""
