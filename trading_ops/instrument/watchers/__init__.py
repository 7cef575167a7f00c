"""Watchers inside a bot's process, each of which can be switched on or off.

watchers = watchers_of(metrics, asyncio.get_running_loop())
watchers.start()
...
watchers.stop()
"""

from trading_ops.instrument.watchers.stuck import Progress
from trading_ops.instrument.watchers.watchers import ALL, Watcher, Watchers, watchers_of

__all__ = ["ALL", "Progress", "Watcher", "Watchers", "watchers_of"]
