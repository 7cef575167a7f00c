"""A bot with metrics alone: no agent, no asyncio; prometheus_client is all that it needs."""

import random
import sys
import time

from trading_ops.instrument import BotMetrics
from trading_ops.instrument.serving import serve_metrics
from trading_ops.instrument.watchers import watchers_of

port, token_file = int(sys.argv[1]), sys.argv[2]

metrics = BotMetrics(version="1.0", mode="paper", symbols=["BTC/USD"], components=["feed"])
serve_metrics(metrics, port, token_file=token_file)
watchers_of(metrics, None).start()

price = 50_000.0
while True:
    price *= random.gauss(1, 0.0001)  # your feed
    metrics.tick("BTC/USD", at=time.time(), price=price)
    metrics.component_up("feed", up=True)
    metrics.heartbeat()  # last: marks a complete pass
    time.sleep(0.5)
