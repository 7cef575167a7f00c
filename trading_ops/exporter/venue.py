"""Probes a venue from this host, independently of the bot.

Each probe is a new connection without cookies, so it shows whether a new client would be served.
One failed probe makes the venue down: the rules use several.
"""

import json
from collections.abc import Iterable
from typing import Any

import aiohttp
from prometheus_client.metrics_core import Metric

from trading_ops import clock
from trading_ops.errors import ClientError
from trading_ops.exporter.config import VenueEntry
from trading_ops.exporter.kraken import read_whole, result_of
from trading_ops.instrument.families import family
from trading_ops.instrument.topics.venue_probes import OTHER_STATUS, VENUE_STATUSES

CLOCK_INTERVAL_SECONDS = 15.0
"""Clocks drift slowly, and a venue's public requests are limited to about one a second."""


class Venue:
    """Probes one venue's public status, and occasionally its clock."""

    interval_seconds = 1.0
    timeout_seconds = 1.0

    def __init__(self, entry: VenueEntry, session: aiohttp.ClientSession) -> None:
        self.name = f"venue:{entry.name}"
        self._label = (entry.name,)
        self._root = f"http://{entry.address}/0/public"
        self._session = session
        self._duration = 0.0
        self._last_success = 0.0
        self._skew: float | None = None
        self._status: str | None = None
        """The last reported status of the venue; None if it reported none."""

        self._clock_due = 0.0

    async def read(self) -> None:
        """Probe once.

        Raises:
            ClientError: the venue's status is not “online”.
        """
        began = clock.monotonic()
        self._status = None
        try:
            status = await self._ask("SystemStatus")
        finally:
            # Failed probes are measured too; without an answer it is the timeout.
            self._duration = clock.monotonic() - began
        self._status = str(status.get("status"))
        if self._status != "online":
            raise ClientError(f"the venue reports {self._status[:40]!r}, not online")
        self._last_success = clock.timestamp()
        if clock.monotonic() >= self._clock_due:
            await self._read_clock()

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        """Return the metrics; a venue that is down keeps its last ones."""
        label = self._label
        yield family("trading_venue_up", {label: float(fresh)})
        yield status_family(label, self._status)
        yield family("trading_venue_probe_duration_seconds", {label: self._duration})
        yield family("trading_venue_last_success_timestamp_seconds", {label: self._last_success})
        if self._skew is not None:
            yield family("trading_venue_clock_skew_seconds", {label: self._skew})

    async def _read_clock(self) -> None:
        began = clock.timestamp()
        answer = await self._ask("Time")
        ended = clock.timestamp()
        self._skew = skew(answer.get("unixtime"), (began + ended) / 2)
        self._clock_due = clock.monotonic() + CLOCK_INTERVAL_SECONDS

    async def _ask(self, endpoint: str) -> dict[str, Any]:
        async with self._session.get(f"{self._root}/{endpoint}", allow_redirects=False) as answer:
            if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
                raise ClientError(f"{endpoint} returned HTTP {answer.status}")
            return result_of(json.loads(await read_whole(answer.content)))


def status_family(label: tuple[str, ...], status: str | None) -> Metric:
    """Return the known status that the venue reported; an unknown one is `other`."""
    status_value = None if status is None else status if status in VENUE_STATUSES else OTHER_STATUS
    return family(
        "trading_venue_status",
        {(*label, status): float(status == status_value) for status in VENUE_STATUSES},
    )


def skew(venue_time: object, middle: float) -> float:
    """Return the seconds by which the venue's clock is ahead of ours.

    The venue reports whole seconds, so a difference within that second is not skew; beyond it, the
    result is a lower bound.

    Args:
        venue_time: the venue's seconds since the epoch.
        middle: our time halfway between request and answer.

    Raises:
        ClientError: the venue's time is not a number.
    """
    if not isinstance(venue_time, int | float) or isinstance(venue_time, bool):
        raise ClientError(f"invalid venue time: {venue_time!r}")
    if middle < venue_time:
        return venue_time - middle
    return min(0.0, venue_time + 1 - middle)
