"""The state of each part of the installation, for people who must not see names or amounts.

It is computed from the firing alerts of Prometheus. Names of bots, venues, hosts and alerts, and
all values stay inside.
"""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from trading_ops.clients.prometheus import Prometheus, Sample
from trading_ops.errors import ClientError

PARTS = {
    "Trading": r"Trading(Bot|Fleet|ErrorBudget|Anomaly)\w*",
    "Venues and market data": r"Trading(Venue|Market)\w*",
    "Databases": r"Trading(Database|Postgresql)\w*",
    "Hosts": r"Trading(Host|Log|Capacity)\w*",
    "Monitoring": r"TradingOps\w*",
}
"""Title of each part, and the alerts that concern it. Alerts about other alerts concern none."""

ALERTS = 'max by (alertname, severity) (ALERTS{alertstate="firing"})'
MAINTENANCE = 'max(trading_ops_maintenance_active{job="trading-reconciler",target="fleet"})'
ALIVE = "Watchdog"
"""The alert that always fires; without it the rules are not evaluated."""

OUTAGE, DEGRADED = frozenset({"emergency", "critical"}), frozenset({"warning"})


class PartState(StrEnum):
    """State of one part."""

    OPERATIONAL = "operational"
    DEGRADED = "degraded"
    OUTAGE = "outage"
    UNKNOWN = "unknown"
    """Prometheus did not answer, or evaluates no rules."""


@dataclass(frozen=True, kw_only=True)
class StatusPage:
    """The content of the page."""

    at: datetime
    maintenance: bool
    """Whether a maintenance window of the whole fleet is open."""

    parts: tuple[tuple[str, PartState], ...]


async def make_status_page(prometheus: Prometheus, *, now: datetime) -> StatusPage:
    """Return the page; it does not fail when Prometheus does not answer."""
    try:
        alerts = await prometheus.query(ALERTS)
        maintenance = await prometheus.query(MAINTENANCE)
    except ClientError:
        alerts, maintenance = [], []
    return StatusPage(at=now, maintenance=bool(maintenance), parts=tuple(_parts(alerts)))


def _parts(alerts: Sequence[Sample]) -> Iterable[tuple[str, PartState]]:
    firing = [
        (alert.labels.get("alertname", ""), alert.labels.get("severity", "")) for alert in alerts
    ]
    alive = any(name == ALIVE for name, _ in firing)
    for title, pattern in PARTS.items():
        severities = {severity for name, severity in firing if re.fullmatch(pattern, name)}
        if not alive:
            yield title, PartState.UNKNOWN
        elif severities & OUTAGE:
            yield title, PartState.OUTAGE
        elif severities & DEGRADED:
            yield title, PartState.DEGRADED
        else:
            yield title, PartState.OPERATIONAL


COLORS = {
    PartState.OPERATIONAL: "#1a7f37",
    PartState.DEGRADED: "#8a5a00",
    PartState.OUTAGE: "#b3141f",
    PartState.UNKNOWN: "#6f42c1",
}


def as_html(page: StatusPage) -> str:
    """Return the page as one file without scripts or external resources."""
    rows = "\n".join(
        f"<tr><td>{html.escape(title)}</td>"
        f'<td style="color:{COLORS[state]};font-weight:700">{state}</td></tr>'
        for title, state in page.parts
    )
    notice = "<p>Scheduled maintenance is in progress.</p>\n" if page.maintenance else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Status</title>'
        "<style>body{font:1rem sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}"
        "td{padding:.4rem 1rem .4rem 0}</style></head><body>\n<h1>Status</h1>\n"
        f"{notice}<table>\n{rows}\n</table>\n<p>As of {page.at:%Y-%m-%d %H:%M} UTC.</p>\n"
        "</body></html>"
    )
