"""What a bot says about itself: every metric as data, and the one object that records them.

This package stands alone: the standard library and prometheus_client, nothing else of ours. A bot
that installs only this can hold a `BotMetrics` and serve an `Exposition`.
"""

from trading_ops.instrument.bot import BotMetrics
from trading_ops.instrument.catalogue import CATALOGUE, find
from trading_ops.instrument.exposition import Exposition, View
from trading_ops.instrument.metric import Kind, Metric, Owner

__all__ = [
    "CATALOGUE",
    "BotMetrics",
    "Exposition",
    "Kind",
    "Metric",
    "Owner",
    "View",
    "find",
]
