"""Prometheus' HTTP API: what is true.

Source: prometheus.io/docs/prometheus/latest/querying/api; the parts used are the same in 2.42
and 3.x.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec

from trading_ops.clients.http import Http
from trading_ops.domain.alert import Fingerprint, fingerprint_of
from trading_ops.domain.sighting import PrometheusView, RuleAlert
from trading_ops.errors import Unreachable

T = TypeVar("T")

LARGE_BYTES = 256 * 1024


class _Alert(msgspec.Struct):
    labels: dict[str, str]
    annotations: dict[str, str]
    state: str
    activeAt: datetime  # noqa: N815 - Prometheus' own name


class _Alerts(msgspec.Struct):
    alerts: list[_Alert]


class _AlertsAnswer(msgspec.Struct):
    data: _Alerts


class _Runtime(msgspec.Struct):
    startTime: datetime  # noqa: N815


class _RuntimeAnswer(msgspec.Struct):
    data: _Runtime


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Vector(msgspec.Struct):
    resultType: str  # noqa: N815
    result: list[_Series]


class _QueryAnswer(msgspec.Struct):
    data: _Vector


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One element of an instant vector."""

    labels: dict[str, str]
    value: float


class Prometheus:
    """One Prometheus server."""

    def __init__(self, http: Http) -> None:
        self._http = http
        # Most alerts of a poll were there at the one before, and computing them takes a while.
        self._known: dict[tuple[tuple[str, str], ...], Fingerprint] = {}

    async def view(self) -> PrometheusView:
        """Return all pending and firing alerts, and since when the server runs.

        Raises:
            Unreachable: no usable answer; what fires is then unknown.
        """
        body = await self._http.get("/api/v1/alerts")
        # In a storm this takes a good part of a second; nobody else should have to wait for it.
        large = len(body) > LARGE_BYTES
        alerts = await asyncio.to_thread(self._alerts, body) if large else self._alerts(body)
        runtime = _decode(await self._http.get("/api/v1/status/runtimeinfo"), _RuntimeAnswer)
        return PrometheusView(alerts=alerts, started_at=runtime.data.startTime)

    def _alerts(self, body: bytes) -> dict[Fingerprint, RuleAlert]:
        known, self._known = self._known, {}
        alerts = {}
        for one in _decode(body, _AlertsAnswer).data.alerts:
            labels = tuple(one.labels.items())
            key = known.get(labels) or fingerprint_of(one.labels)
            self._known[labels] = key
            alerts[key] = RuleAlert(
                fingerprint=key,
                labels=one.labels,
                annotations=one.annotations,
                firing=one.state == "firing",
                active_at=one.activeAt,
            )
        return alerts

    async def query(self, expression: str) -> list[Sample]:
        """Return the instant vector of an expression, now.

        Raises:
            Unreachable: no usable answer.
            Refused: the expression is wrong.
        """
        body = await self._http.get("/api/v1/query", params={"query": expression})
        answer = _decode(body, _QueryAnswer)
        if answer.data.resultType != "vector":
            raise Unreachable(f"{expression!r} gave a {answer.data.resultType}, not a vector")
        return [Sample(labels=one.metric, value=float(one.value[1])) for one in answer.data.result]


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Unreachable(f"Prometheus gave an answer that is not its API's: {error}") from error
