"""Client of Prometheus' HTTP API.

Source: prometheus.io/docs/prometheus/latest/querying/api; the parts used are the same in 2.42
and 3.x.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
import yaml

from trading_ops import clock, logs
from trading_ops.clients.http import Http
from trading_ops.domain.alert import PAGE_LABEL, Fingerprint, fingerprint_of, stripped
from trading_ops.domain.observation import PrometheusView, RuleAlert
from trading_ops.errors import ClientError, Refused, Unreachable

log = logs.get(__name__)

T = TypeVar("T")

LARGE_BYTES = 256 * 1024

GROUP_PREFIXES = ("trading-", "sloth-slo-trading-")
"""Rule groups that are ours by name; others are if one of their alerts has our page label."""


class _ActiveAlert(msgspec.Struct):
    labels: dict[str, str]
    annotations: dict[str, str]
    state: str
    activeAt: datetime  # noqa: N815 - Prometheus' own name


class _Alerts(msgspec.Struct):
    alerts: list[_ActiveAlert]


class _AlertsAnswer(msgspec.Struct):
    data: _Alerts


class _Runtime(msgspec.Struct):
    startTime: datetime  # noqa: N815
    lastConfigTime: str = ""  # noqa: N815


class _RuntimeAnswer(msgspec.Struct):
    data: _Runtime


class _Config(msgspec.Struct):
    yaml: str


class _ConfigAnswer(msgspec.Struct):
    data: _Config


class _Rule(msgspec.Struct):
    name: str
    query: str
    duration: float = 0.0
    keepFiringFor: float = 0.0  # noqa: N815
    labels: dict[str, str] = {}

    @property
    def is_ours(self) -> bool:
        return PAGE_LABEL in self.labels


class _Group(msgspec.Struct):
    name: str
    interval: float
    rules: list[_Rule]

    @property
    def is_ours(self) -> bool:
        return self.name.startswith(GROUP_PREFIXES) or any(rule.is_ours for rule in self.rules)


class _Groups(msgspec.Struct):
    groups: list[_Group]


class _GroupsAnswer(msgspec.Struct):
    data: _Groups


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Vector(msgspec.Struct):
    resultType: str  # noqa: N815
    result: list[_Series]


class _QueryAnswer(msgspec.Struct):
    data: _Vector


class _RangeSeries(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Matrix(msgspec.Struct):
    result: list[_RangeSeries]


class _RangeAnswer(msgspec.Struct):
    data: _Matrix


@dataclass(frozen=True, kw_only=True)
class Series:
    """One series over a time range: times in seconds since the epoch, and values."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One element of an instant vector."""

    labels: dict[str, str]
    value: float


class Prometheus:
    """One Prometheus server."""

    def __init__(self, http: Http) -> None:
        self._http = http
        # Most alerts were in the previous poll too, and computing them takes a while.
        self._known: dict[tuple[tuple[str, str], ...], Fingerprint] = {}
        self._config_read = ""
        self._external: Mapping[str, str] | None = None
        self._start: tuple[datetime, float] | None = None

    async def view(self) -> PrometheusView:
        """Return all pending and firing alerts, and the start time of the server.

        Raises:
            Unreachable: no usable answer; what fires is then unknown.
        """
        runtime = await self._runtime()
        external = await self._external_at(runtime)
        body = await self._http.get("/api/v1/alerts")
        # In an alert storm this takes much of a second; it must not block the event loop.
        large = len(body) > LARGE_BYTES
        alerts = await asyncio.to_thread(self._alerts, body) if large else self._alerts(body)
        return PrometheusView(
            alerts=alerts,
            started_at=runtime.startTime,
            known_for=self._known_for(runtime.startTime),
            external=external,
        )

    async def external_labels(self) -> Mapping[str, str]:
        """Return the external labels of its alerts; empty while it does not answer.

        They are read again by `view` after each reload of its configuration.
        """
        if self._external is None:
            try:
                return await self._external_at(await self._runtime())
            except ClientError as error:
                log.warning("external_labels_unknown", error=str(error))
        return self._external or {}

    async def rule_groups(self) -> dict[str, str]:
        """Return a digest of each of our rule groups, as loaded by the server.

        It depends on the rules' names, expressions, durations, labels, order and interval.

        Raises:
            ClientError: no usable answer, or none of our groups, as while it loads them.
        """
        body = await self._http.get("/api/v1/rules")
        found = await asyncio.to_thread(_digests, body)
        if not found:
            raise Unreachable("Prometheus evaluates none of our rule groups")
        return found

    def _known_for(self, start: datetime) -> timedelta:
        now = clock.boottime()
        if self._start is None or self._start[0] != start:
            self._start = start, now
        return timedelta(seconds=now - self._start[1])

    async def _runtime(self) -> _Runtime:
        return _decode(await self._http.get("/api/v1/status/runtimeinfo"), _RuntimeAnswer).data

    async def _external_at(self, runtime: _Runtime) -> Mapping[str, str]:
        if self._external is None or runtime.lastConfigTime != self._config_read:
            try:
                answer = await self._http.get("/api/v1/status/config")
                self._external = _external_of(_decode(answer, _ConfigAnswer).data.yaml)
            except Refused as error:  # a proxy may block this page
                log.warning("external_labels_unknown", error=str(error))
                self._external = {}
            self._config_read = runtime.lastConfigTime
        return self._external

    def _alerts(self, body: bytes) -> dict[Fingerprint, RuleAlert]:
        known, self._known = self._known, {}
        alerts = {}
        for alert in _decode(body, _AlertsAnswer).data.alerts:
            kept = stripped(alert.labels, self._external or {})
            labels = tuple(kept.items())
            key = known.get(labels) or fingerprint_of(kept)
            self._known[labels] = key
            alerts[key] = RuleAlert(
                fingerprint=key,
                labels=kept,
                annotations=alert.annotations,
                firing=alert.state == "firing",
                active_at=alert.activeAt,
            )
        return alerts

    async def query(
        self, expression: str, *, at: datetime | None = None, within: timedelta | None = None
    ) -> list[Sample]:
        """Return the instant vector of an expression at a given time; by default now.

        Raises:
            Unreachable: no usable answer.
            Refused: the expression is invalid.
        """
        params = {"query": expression}
        if at is not None:
            params["time"] = f"{at.timestamp():.3f}"
        body = await self._http.get("/api/v1/query", params=params, within=within)
        answer = _decode(body, _QueryAnswer)
        if answer.data.resultType != "vector":
            raise Unreachable(f"{expression!r} gave a {answer.data.resultType}, not a vector")
        return [
            Sample(labels=result.metric, value=float(result.value[1]))
            for result in answer.data.result
        ]

    async def query_range(
        self,
        expression: str,
        *,
        start: float,
        end: float,
        step: float,
        within: timedelta | None = None,
    ) -> list[Series]:
        """Return the values of an expression over a time range, in seconds since the epoch.

        Raises:
            Unreachable: no usable answer.
            Refused: the expression is invalid.
        """
        params = {"query": expression, "start": str(start), "end": str(end), "step": str(step)}
        body = await self._http.get("/api/v1/query_range", params=params, within=within)
        large = len(body) > LARGE_BYTES
        return await asyncio.to_thread(_series, body) if large else _series(body)


def _series(body: bytes) -> list[Series]:
    return [
        Series(labels=result.metric, points=[(at, float(value)) for at, value in result.values])
        for result in _decode(body, _RangeAnswer).data.result
    ]


def _external_of(config: str) -> Mapping[str, str]:
    """Read them from the configuration that Prometheus prints; only `global` is parsed.

    Parsing the thousands of lines of a large configuration would take seconds.
    """
    lines = config.splitlines()
    begin = next((at for at, line in enumerate(lines) if line.startswith("global:")), len(lines))
    ends = (at for at, line in enumerate(lines) if at > begin and not line.startswith(" "))
    try:
        section = yaml.safe_load("\n".join(lines[begin : next(ends, len(lines))])) or {}
    except yaml.YAMLError as error:
        raise Unreachable(f"Prometheus' configuration cannot be parsed: {error}") from error
    found = (section.get("global") or {}).get("external_labels") or {}
    return {str(name): str(value) for name, value in found.items()}


def _digests(body: bytes) -> dict[str, str]:
    encode = msgspec.json.Encoder(order="deterministic").encode
    return {
        group.name: hashlib.sha256(encode(group)).hexdigest()[:16]
        for group in _decode(body, _GroupsAnswer).data.groups
        if group.is_ours
    }


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Unreachable(f"invalid response from Prometheus: {error}") from error
