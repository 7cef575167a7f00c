"""A bot's own metrics: their definitions, and the object that records them.

This package depends only on the standard library and prometheus_client. A bot that installs only
this can use `BotMetrics` and serve an `Exposition`.
"""

from trading_ops.instrument.bot import BotMetrics
from trading_ops.instrument.catalogue import CATALOGUE, find
from trading_ops.instrument.exposition import Exposition, View
from trading_ops.instrument.metric import Metric, MetricType, Owner

__all__ = [
    "CATALOGUE",
    "BotMetrics",
    "Exposition",
    "Metric",
    "MetricType",
    "Owner",
    "View",
    "find",
]
