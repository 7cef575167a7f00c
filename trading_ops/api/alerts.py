"""Alerts of Prometheus and Alertmanager as last observed, and their incident history."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Literal

import msgspec

from trading_ops import clock
from trading_ops.api.incidents import IncidentPage, incident_page
from trading_ops.api.requests import Cursor, Key, Limit, Moment, Selected, place_of
from trading_ops.api.targets import SilenceView, silence_view
from trading_ops.domain.alert import Fingerprint
from trading_ops.domain.incident import Incident
from trading_ops.domain.observation import AlertSnapshot, RoutedAlert, RuleAlert
from trading_ops.reconciler.runbook_index import RunbookIndex
from trading_ops.reconciler.secondary_oncall import SilenceMonitor
from trading_ops.store import search
from trading_ops.store.reader import Reader
from trading_ops.store.search import TimeRange

AlertState = Literal["firing", "pending", "ended"]


class AlertQuery(Selected, forbid_unknown_fields=True, kw_only=True):
    """Filters and page of the list."""

    alertname: Key | None = None
    state: AlertState | None = None
    limit: Limit = 100
    after: Key | None = None
    """The last fingerprint of the previous page."""


class AlertView(msgspec.Struct, kw_only=True):
    """One alert."""

    fingerprint: str
    alertname: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    state: AlertState
    """`ended`: in Alertmanager but no longer in Prometheus."""

    active_at: datetime
    silenced: bool | None
    """Null: not in Alertmanager, or Alertmanager did not answer."""

    silenced_by: list[str]
    """Ids of silences, including those of acknowledgements."""

    inhibited: bool | None
    incident: str | None


class AlertPage(msgspec.Struct, kw_only=True):
    """Alerts by fingerprint, and when the sources were observed."""

    alerts: list[AlertView]
    next: str | None
    """`after` of the next page; null: last page."""

    looked_at: datetime | None
    age_seconds: float | None
    prometheus: bool
    """Whether it answered the last request."""

    alertmanager: bool
    silences: list[SilenceView]
    """All manual silences in force, the first to end first."""

    acknowledgements: list[str]
    """Ids of the silences of acknowledgements."""


class AlertHistoryQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Filters and page of the history."""

    target: Key | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class AlertRoutes:
    """Handlers of `alerts`."""

    def __init__(
        self,
        reader: Reader,
        index: RunbookIndex,
        snapshot: Callable[[], AlertSnapshot | None],
        open_incidents: Callable[[], Mapping[str, Incident]],
        silences: SilenceMonitor,
    ) -> None:
        """Set functions that return the last observation and the open incidents by id."""
        self._silences = silences
        self._reader = reader
        self._index = index
        self._snapshot = snapshot
        self._open = open_incidents

    async def search(self, query: AlertQuery) -> AlertPage:
        """Return the alerts as last observed, each with its incident."""
        snapshot, names = self._snapshot(), query.names(self._index.registry)
        if snapshot is None:
            return self._page([], None, snapshot)
        rules = snapshot.prometheus.alerts if snapshot.prometheus else {}
        routed = snapshot.alertmanager or {}
        keys = sorted(key for key in rules.keys() | routed.keys() if key > (query.after or ""))
        found: list[Fingerprint] = []
        for key in keys:
            if self._is_wanted(query, names, rules.get(key), routed.get(key)):
                found.append(key)
            if len(found) > query.limit:
                break
        incidents = {incident.fingerprint: key for key, incident in self._open().items()}
        shown = [
            _view(key, rules.get(key), routed.get(key), incidents.get(key))
            for key in found[: query.limit]
        ]
        more = len(found) > query.limit
        return self._page(shown, shown[-1].fingerprint if more else None, snapshot)

    async def history(self, name: str, query: AlertHistoryQuery) -> IncidentPage:
        """Return the history of alerts that became incidents, newest first."""
        found = await self._reader.read(
            partial(
                search.find_incidents,
                alert=name,
                target=query.target,
                span=TimeRange(since=query.since, until=query.until),
                after=place_of(query.cursor),
                limit=query.limit + 1,
            )
        )
        return incident_page(found, query.limit)

    def _is_wanted(
        self,
        query: AlertQuery,
        names: frozenset[str] | None,
        rule: RuleAlert | None,
        routed: RoutedAlert | None,
    ) -> bool:
        labels = _labels(rule, routed)
        name = labels.get("alertname", "")
        if query.alertname is not None and name != query.alertname:
            return False
        if names is not None:
            target = self._index.target(name, labels)
            if target is None or target.name not in names:
                return False
        return query.state is None or _state(rule) == query.state

    def _page(
        self, alerts: list[AlertView], after: str | None, snapshot: AlertSnapshot | None
    ) -> AlertPage:
        age = None if snapshot is None else (clock.now() - snapshot.at).total_seconds()
        manual = sorted(self._silences.manual, key=lambda silence: silence.ends_at)
        return AlertPage(
            alerts=alerts,
            next=after,
            looked_at=None if snapshot is None else snapshot.at,
            age_seconds=age,
            prometheus=snapshot is not None and snapshot.prometheus is not None,
            alertmanager=snapshot is not None and snapshot.alertmanager is not None,
            silences=[silence_view(silence) for silence in manual],
            acknowledgements=sorted(self._silences.of_acknowledgements),
        )


def _state(rule: RuleAlert | None) -> AlertState:
    if rule is None:
        return "ended"
    return "firing" if rule.firing else "pending"


def _labels(rule: RuleAlert | None, routed: RoutedAlert | None) -> Mapping[str, str]:
    alert = rule or routed
    return {} if alert is None else alert.labels


def _view(
    key: Fingerprint, rule: RuleAlert | None, routed: RoutedAlert | None, incident: str | None
) -> AlertView:
    alert = rule or routed
    assert alert is not None  # noqa: S101 - the key is from one of the two
    return AlertView(
        fingerprint=key,
        alertname=alert.labels.get("alertname", ""),
        labels=alert.labels,
        annotations=alert.annotations,
        state=_state(rule),
        active_at=alert.active_at if isinstance(alert, RuleAlert) else alert.starts_at,
        silenced=None if routed is None else routed.silenced,
        silenced_by=[] if routed is None else sorted(routed.silenced_by),
        inhibited=None if routed is None else routed.inhibited,
        incident=incident,
    )
