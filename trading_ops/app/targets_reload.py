"""Reloads targets.yml while the reconciler runs.

A valid new file ends the current composition, and `process.serve` builds the next one with the new
targets: everything that an incident needs is in the database, so nothing is lost. An invalid file
changes nothing; it is logged, and a metric shows it.
"""

import asyncio
import contextlib
import stat

from trading_ops import clock, logs
from trading_ops.app.dependencies import own_entry
from trading_ops.config.last_good import keep_last_good
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets
from trading_ops.domain.target import Registry
from trading_ops.errors import TradingOpsError
from trading_ops.project.discovery import write_discovery
from trading_ops.reconciler.metrics import ReconcilerMetrics
from trading_ops.tasks import Succeeded

log = logs.get(__name__)

CHECK_SECONDS = 2.0
"""Interval of the check whether the file changed."""

Stamp = tuple[int, int, int, int] | None


class TargetsReload:
    """The targets in use, and whether the file has others by now."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        """Use the targets that were loaded at startup.

        Args:
            settings: name the file.
            registry: what was in it.
        """
        self.registry = registry
        self.changed = asyncio.Event()
        """Set when `registry` is newer than the running composition."""

        self._settings = settings
        self._asked = asyncio.Event()
        self._seen = self._stamp()
        self._succeeded_at = clock.timestamp()
        self._problem = ""

    def ask(self) -> None:
        """Check the file now; the handler of SIGHUP."""
        self._seen = None
        self._asked.set()

    def show(self, metrics: ReconcilerMetrics) -> None:
        """Export the result of the last reload."""
        metrics.targets.successful.set(0 if self._problem else 1)
        metrics.targets.succeeded_at.set(self._succeeded_at)

    async def run(self, metrics: ReconcilerMetrics, succeeded: Succeeded) -> None:
        """Check at the interval and on request, until cancelled."""
        while True:
            await asyncio.to_thread(self.check)
            self.show(metrics)
            succeeded()
            self._asked.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._asked.wait()

    def check(self) -> None:
        """Load the file if it changed since the last check."""
        stamp = self._stamp()
        if stamp is not None and stamp == self._seen:
            return
        self._seen = stamp
        try:
            registry = load_targets(self._settings.targets_file)
            own_entry(self._settings, registry)
            self._write_discovery(registry)
        except (TradingOpsError, OSError) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log.error("targets_not_reloaded", reason=self._problem)  # noqa: TRY400
            return
        self._problem, self._succeeded_at = "", clock.timestamp()
        if registry != self.registry:
            keep_last_good(self._settings)
            log.warning("targets_reloaded", **_difference(self.registry, registry))
            self.registry = registry
            self.changed.set()

    def _stamp(self) -> Stamp:
        try:
            found = self._settings.targets_file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _write_discovery(self, registry: Registry) -> None:
        """Update the discovery files of Prometheus, where they are ours."""
        folder = self._settings.var / "prometheus" / "targets"
        known = folder / "bots.json"
        if known.exists():
            write_discovery(folder, registry, mode=stat.S_IMODE(known.stat().st_mode))


def _difference(old: Registry, new: Registry) -> dict[str, list[str]]:
    before, after = ({target.name: target for target in registry} for registry in (old, new))
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(
            name for name in after.keys() & before.keys() if after[name] != before[name]
        ),
    }
