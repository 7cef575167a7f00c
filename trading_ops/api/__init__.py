"""The reconciler's HTTP API: webhook, operators' API, health and metrics.

It authenticates, stores, reads and answers; it makes no decisions and runs no actions.
"""
