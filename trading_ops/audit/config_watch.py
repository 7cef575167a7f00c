"""Records changes of rules and runbooks in the audit log.

A change of a rule or a runbook changes what is detected and what is done about it. Each change
is an event `configuration_changed` that names what changed, and sets the metric behind
TradingOpsConfigurationChanged. Rules are compared as Prometheus evaluates them, runbooks as files.
The newest event has the last known state, so a change while the reconciler was down is found when
it starts, and replicas record a change once. Without an earlier event, the state is recorded as
`configuration_recorded`.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from prometheus_client import Gauge

from trading_ops import clock, logs
from trading_ops.clients.prometheus import Prometheus
from trading_ops.errors import ClientError
from trading_ops.store import Connection, events
from trading_ops.store.reader import Reader
from trading_ops.store.search import TimeRange, find_events
from trading_ops.store.writer import Writer
from trading_ops.tasks import Succeeded, unwatched

log = logs.get(__name__)

INTERVAL = timedelta(seconds=30)
CHANGED, RECORDED = "configuration_changed", "configuration_recorded"
NAMED = 10
"""Maximum number of changed files or rule groups that an event's note names."""

Digests = Mapping[str, str]
"""A digest of each rule group or runbook, by its name."""


@dataclass(kw_only=True)
class ConfigWatch:
    """Compares rules and runbooks with the last recorded ones."""

    prometheus: Prometheus
    runbooks: Path
    """Folder of the runbooks."""

    writer: Writer
    reader: Reader
    changed_at: Gauge
    """Time of the last change by kind, in Unix seconds; 0: none known."""

    _known: dict[str, Digests] = field(init=False, default_factory=dict)

    async def run(self, succeeded: Succeeded = unwatched) -> None:
        """Compare until cancelled."""
        while True:
            await self.compare()
            succeeded()
            await asyncio.sleep(INTERVAL.total_seconds())

    async def compare(self) -> None:
        """Record what changed since the last comparison, by this process or another.

        Raises:
            StoreError: it could not be read or stored; the next comparison finds it again.
        """
        now = {"runbooks": await asyncio.to_thread(digests_of, self.runbooks)}
        try:
            now["rules"] = await self.prometheus.rule_groups()
        except ClientError as error:
            log.warning("rules_not_compared", error=str(error))
        for kind, found in now.items():
            if found == self._known.get(kind):
                continue
            last = await self.reader.read(partial(_last, kind=kind))
            known = None if last is None else json.loads(last.after or "{}")
            if found != known:
                await self._record(kind, known, found)
            elif last is not None and last.kind == CHANGED:
                self.changed_at.labels(kind).set(last.at.timestamp())
            self._known[kind] = found

    async def _record(self, kind: str, known: Digests | None, found: Digests) -> None:
        at, note = clock.now(), _note(kind, known, found)
        event = RECORDED if known is None else CHANGED
        await self.writer.run(
            partial(events.add, at=at, kind=event, reason=kind, note=note, after=found)
        )
        if known is not None:
            self.changed_at.labels(kind).set(at.timestamp())
            log.warning(CHANGED, kind=kind, note=note)


def digests_of(folder: Path) -> Digests:
    """Return a digest of each runbook."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in sorted(folder.glob("*.md"))
    }


def _last(connection: Connection, *, kind: str) -> events.TimelineEvent | None:
    """Return the newest event with the state."""
    for name in (CHANGED, RECORDED):
        if found := find_events(connection, kind=name, reason=kind, span=TimeRange(), limit=1):
            return found[0]
    return None


def _note(kind: str, known: Digests | None, found: Digests) -> str:
    if known is None:
        return f"{len(found)} {kind} recorded"
    parts = {
        "changed": [name for name in known.keys() & found.keys() if known[name] != found[name]],
        "added": found.keys() - known.keys(),
        "removed": known.keys() - found.keys(),
    }
    parts_text = [f"{change} {_names(sorted(names))}" for change, names in parts.items() if names]
    return f"{kind}: {'; '.join(parts_text)}"


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
