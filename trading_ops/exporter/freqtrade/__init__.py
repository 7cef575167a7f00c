"""A running Freqtrade, read over its REST API and told in the words of our own bots.

Freqtrade is never imported. Each endpoint is read by a task of its own with its own interval and
timeout, so that a slow one (`/status` asks the exchange) hides nothing that another one tells. What
Freqtrade calls differently is translated in `facts`; what it cannot tell is left out.
"""
