"""A running Freqtrade, read over its REST API and exported with the metrics of our own bots.

Freqtrade is never imported. Each endpoint is read by its own task with its own interval and
timeout, so that a slow one (`/status` needs the exchange) does not delay another. `facts` maps
Freqtrade's terms to ours; what Freqtrade does not report is not exported.
"""
