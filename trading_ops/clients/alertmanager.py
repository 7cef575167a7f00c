"""Client of Alertmanager's API v2, for one instance or a cluster: alerts and silences.

Source: alertmanager `api/v2/openapi.yaml`; the parts used are the same from 0.25 to 0.34.
"""

import asyncio
import re
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import msgspec

from trading_ops import clock, logs
from trading_ops.clients.http import Http, HttpResponse
from trading_ops.domain.alert import Fingerprint
from trading_ops.domain.observation import RoutedAlert
from trading_ops.domain.silences import Matcher, Silence
from trading_ops.errors import ClientError, Refused, Unreachable

T = TypeVar("T")

OK, NOT_FOUND, SERVER_ERROR = 200, 404, 500
EXPIRED = "expired"
LARGE_BYTES = 256 * 1024
NO_PATTERNS: Mapping[str, str] = {}
RUNBOOKS = "https://trading-ops.example.invalid/runbooks"
PAGE_AT_ONCE = {"severity": "critical", "page_after": "0s"}


class _Status(msgspec.Struct):
    state: str
    silencedBy: list[str]  # noqa: N815 - Alertmanager's own names
    inhibitedBy: list[str]  # noqa: N815


class _GettableAlert(msgspec.Struct):
    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: datetime  # noqa: N815
    endsAt: datetime  # noqa: N815
    status: _Status


class _Matcher(msgspec.Struct):
    name: str
    value: str
    isRegex: bool = False  # noqa: N815
    isEqual: bool = True  # noqa: N815


class _SilenceState(msgspec.Struct):
    state: str


class _Silence(msgspec.Struct):
    id: str
    comment: str
    createdBy: str  # noqa: N815
    startsAt: datetime  # noqa: N815
    endsAt: datetime  # noqa: N815
    status: _SilenceState
    matchers: list[_Matcher] = []


class _Created(msgspec.Struct):
    silenceID: str  # noqa: N815


@dataclass(frozen=True, kw_only=True)
class PostedAlert:
    """An alert that we post ourselves, for what Prometheus cannot detect."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    resolved: bool = False

    @classmethod
    def paging_at_once(
        cls, labels: Mapping[str, str], *, summary: str, description: str, resolved: bool
    ) -> "PostedAlert":
        """Return an alert with the labels of the rule of the same name.

        If Prometheus fires it too, Alertmanager deduplicates them.
        """
        return cls(
            labels={**labels, **PAGE_AT_ONCE},
            annotations={
                "summary": summary,
                "description": description,
                "runbook_url": f"{RUNBOOKS}/{labels['alertname']}.md",
            },
            resolved=resolved,
        )


class Alertmanager:
    """One Alertmanager."""

    def __init__(self, http: Http, *, receivers: Collection[str] = ()) -> None:
        """Set the receivers whose alerts are ours; without any, every alert is ours."""
        self._http = http
        self._ours = {"receiver": "|".join(map(re.escape, receivers))} if receivers else None

    async def alerts(self) -> dict[Fingerprint, RoutedAlert]:
        """Return every alert routed to our receivers, including silenced and inhibited ones.

        Right after a start the list is empty or partial, so absence alone proves nothing.

        Raises:
            Unreachable: no usable answer.
        """
        body = await self._http.get("/api/v2/alerts", params=self._ours)
        # In an alert storm this takes a while; it must not block the event loop.
        return await asyncio.to_thread(_alerts, body) if len(body) > LARGE_BYTES else _alerts(body)

    async def post(self, alert: PostedAlert) -> None:
        """Post an alert like Prometheus; repeat it at least every five minutes while it fires.

        Alertmanager sets the times itself, so clock differences do not matter.

        Raises:
            Unreachable: no answer.
            Refused: it was rejected.
        """
        body: dict[str, object] = {
            "labels": dict(alert.labels),
            "annotations": dict(alert.annotations),
        }
        if alert.resolved:
            body["endsAt"] = clock.now()
        answer = await self._http.ask("POST", "/api/v2/alerts", json=msgspec.to_builtins([body]))
        _accepted(answer, "POST /api/v2/alerts")

    async def silences(
        self, alertname: str | None = None, *, pattern: bool = False
    ) -> list[Silence]:
        """Return the unexpired silences that match this alert name or pattern.

        Without a name, return all unexpired silences.

        Raises:
            ClientError: no usable answer.
        """
        # A silence is found only by a matcher of the same type.
        operator = "=~" if pattern else "="
        wanted = (
            None if alertname is None else {"filter": f'alertname{operator}"{_escaped(alertname)}"'}
        )
        body = await self._http.get("/api/v2/silences", params=wanted)
        # Expired silences are kept for days, so there may be many.
        return (
            await asyncio.to_thread(_unexpired, body)
            if len(body) > LARGE_BYTES
            else _unexpired(body)
        )

    async def silence(
        self,
        matchers: Mapping[str, str],
        *,
        starts: datetime,
        ends: datetime,
        owner: str,
        comment: str,
        patterns: Mapping[str, str] = NO_PATTERNS,
        id: str | None = None,  # noqa: A002 - Alertmanager's own name for it
    ) -> str:
        """Create a silence for alerts with all these labels, or update one; return its current ID.

        Labels in `patterns` are matched by a regular expression.

        An update keeps the ID only if start and matchers are unchanged; otherwise Alertmanager
        expires the old silence and creates a new one. An unknown ID becomes a new silence too.

        Raises:
            Unreachable: no answer; the silence may exist nevertheless.
            Refused: it was not created.
        """
        body = {
            "matchers": [
                *(_Matcher(name, value) for name, value in sorted(matchers.items())),
                *(_Matcher(name, value, isRegex=True) for name, value in sorted(patterns.items())),
            ],
            "startsAt": starts,
            "endsAt": ends,
            "createdBy": owner,
            "comment": comment,
        }
        answer = await self._post(body | ({"id": id} if id else {}))
        if id and answer.status == NOT_FOUND:
            answer = await self._post(body)
        return _decoded(_accepted(answer, "POST /api/v2/silences"), _Created).silenceID

    async def expire(self, id: str) -> None:  # noqa: A002
        """Expire a silence; an expired or unknown one is not an error.

        Raises:
            Unreachable: no answer.
            Refused: it was not expired.
        """
        path = f"/api/v2/silence/{id}"
        answer = await self._http.ask("DELETE", path)
        if answer.status == SERVER_ERROR:
            # 0.25 answers 500 instead of 404 for an unknown one.
            answer = await self._http.ask("GET", path)
            if answer.status == OK:
                raise Unreachable(f"DELETE {path}: HTTP {SERVER_ERROR}")
        if answer.status != NOT_FOUND:
            _accepted(answer, f"DELETE {path}")

    async def _post(self, body: Mapping[str, object]) -> HttpResponse:
        return await self._http.ask("POST", "/api/v2/silences", json=msgspec.to_builtins(body))


def _alerts(body: bytes) -> dict[Fingerprint, RoutedAlert]:
    return {
        Fingerprint(alert.fingerprint): RoutedAlert(
            fingerprint=Fingerprint(alert.fingerprint),
            labels=alert.labels,
            annotations=alert.annotations,
            starts_at=alert.startsAt,
            ends_at=alert.endsAt,
            silenced=bool(alert.status.silencedBy),
            silenced_by=frozenset(alert.status.silencedBy),
            inhibited=bool(alert.status.inhibitedBy),
        )
        for alert in _decoded(body, list[_GettableAlert])
    }


def _unexpired(body: bytes) -> list[Silence]:
    return [
        Silence(
            id=silence.id,
            starts_at=silence.startsAt,
            ends_at=silence.endsAt,
            created_by=silence.createdBy,
            comment=silence.comment,
            matchers=tuple(
                Matcher(it.name, it.value, is_regex=it.isRegex, is_equal=it.isEqual)
                for it in silence.matchers
            ),
        )
        for silence in _decoded(body, list[_Silence])
        if silence.status.state != EXPIRED
    ]


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Unreachable(f"invalid response from Alertmanager: {error}") from error


def _accepted(answer: HttpResponse, request: str) -> bytes:
    if answer.status == OK:
        return answer.body
    text = f"{request}: HTTP {answer.status}: {answer.body[:200].decode(errors='replace')}"
    raise Unreachable(text) if answer.status >= SERVER_ERROR else Refused(text)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


log = logs.get(__name__)

STRAGGLER_SECONDS = 1.0
"""Seconds that other cluster members may answer after the first one."""


class Alertmanagers:
    """All Alertmanagers of a cluster: each is queried, and every answer is trusted."""

    def __init__(self, members: Sequence[Alertmanager]) -> None:
        self._members = tuple(members)

    async def alerts(self) -> dict[Fingerprint, RoutedAlert]:
        """Return the merged alerts of all that answer; suppressed if any of them says so.

        Raises:
            Unreachable: none answers.
        """
        union, *others = await self._ask_all([member.alerts() for member in self._members])
        for alerts in others:
            for key, alert in alerts.items():
                known = union.get(key)
                union[key] = alert if known is None else _merged(known, alert)
        return union

    async def post(self, alert: PostedAlert) -> None:
        """Post an alert to each: Alertmanagers gossip silences and notifications, not alerts.

        Raises:
            ClientError: none accepted it.
        """
        await self._ask_all([member.post(alert) for member in self._members])

    async def silences(
        self, alertname: str | None = None, *, pattern: bool = False
    ) -> list[Silence]:
        """Return the silences of all that answer, each once; see `Alertmanager.silences`.

        Raises:
            ClientError: none answers.
        """
        answers = await self._ask_all(
            [member.silences(alertname, pattern=pattern) for member in self._members]
        )
        return list({silence.id: silence for found in answers for silence in found}.values())

    async def silence(
        self,
        matchers: Mapping[str, str],
        *,
        starts: datetime,
        ends: datetime,
        owner: str,
        comment: str,
        patterns: Mapping[str, str] = NO_PATTERNS,
        id: str | None = None,  # noqa: A002
    ) -> str:
        """Create a silence at the first one that answers; gossip replicates it.

        Raises:
            Unreachable: none answers.
            Refused: one rejected it.
        """
        silent: list[str] = []
        for member in self._members:
            try:
                return await member.silence(
                    matchers,
                    starts=starts,
                    ends=ends,
                    owner=owner,
                    comment=comment,
                    patterns=patterns,
                    id=id,
                )
            except Unreachable as error:
                silent.append(str(error))
        raise Unreachable("; ".join(silent))

    async def expire(self, id: str) -> None:  # noqa: A002
        """Expire a silence at each that answers: gossip may not have replicated it yet.

        Raises:
            ClientError: none answers.
        """
        await self._ask_all([member.expire(id) for member in self._members])

    async def _ask_all(self, requests: Sequence[Awaitable[T]]) -> list[T]:
        good, bad = [], []
        for answer in await _in_time(requests):
            if isinstance(answer, ClientError):
                bad.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                good.append(answer)
        if not good:
            raise Unreachable("; ".join(map(str, bad)))
        for error in bad:
            log.warning("alertmanager_silent", error=str(error))
        return good


async def _in_time(requests: Sequence[Awaitable[T]]) -> list[T | BaseException]:
    """Return all answers; after the first one, the others get one more second.

    A hanging member must not delay every pass by a whole request timeout.
    """
    tasks = [asyncio.ensure_future(request) for request in requests]
    waiting = set(tasks)
    try:
        while waiting and not any(task.done() and not task.exception() for task in tasks):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if waiting:
            await asyncio.wait(waiting, timeout=STRAGGLER_SECONDS)
    finally:
        for task in tasks:
            task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    return [
        Unreachable("too slow") if isinstance(answer, asyncio.CancelledError) else answer
        for answer in answers
    ]


def _merged(routed: RoutedAlert, other: RoutedAlert) -> RoutedAlert:
    newer = max(routed, other, key=lambda alert: alert.ends_at)
    return replace(
        newer,
        starts_at=min(routed.starts_at, other.starts_at),
        silenced=routed.silenced or other.silenced,
        silenced_by=routed.silenced_by | other.silenced_by,
        inhibited=routed.inhibited or other.inhibited,
    )
