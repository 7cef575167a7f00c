"""What a bot says about itself: every metric as data, and the one object that records them.

This package stands alone: the standard library and prometheus_client, nothing else of ours. A bot
that installs only this can hold a `BotMetrics` and serve an `Exposition`.
"""

from prometheus_client import disable_created_metrics

from trading_ops.instrument.bot import BotMetrics
from trading_ops.instrument.catalogue import CATALOGUE, find
from trading_ops.instrument.exposition import Exposition, View
from trading_ops.instrument.metric import Kind, Metric, Owner

# `_created` would add one series to every counter and histogram that is prometheus_client's own,
# and nobody asks for it. Here, so that it holds whichever part is imported first.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the client has no hint here

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
