"""The HTTP border of the reconciler: the webhook, the operators' API, health and metrics.

Nothing here decides or acts: it authenticates, stores, reads and answers.
"""
