"""What watches a bot from inside its process, each part switched on or off by a setting.

watchers = watchers_of(metrics, asyncio.get_running_loop())
watchers.start()
...
watchers.stop()
"""

from trading_ops.instrument.watchers.stuck import Progress
from trading_ops.instrument.watchers.watchers import ALL, Watcher, Watchers, watchers_of

__all__ = ["ALL", "Progress", "Watcher", "Watchers", "watchers_of"]
