"""A cluster of Alertmanagers, asked as one."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from trading_ops import logs
from trading_ops.clients.alertmanager import NO_PATTERNS, Alertmanager, PostedAlert
from trading_ops.domain.alert import Fingerprint
from trading_ops.domain.observation import RoutedAlert
from trading_ops.domain.silencing import Silence
from trading_ops.errors import ClientError, Unreachable

log = logs.get(__name__)

T = TypeVar("T")

STRAGGLER_SECONDS = 1.0
"""How much later than the first member of a cluster the others may answer."""


class Alertmanagers:
    """All Alertmanagers of a cluster: each is queried, and any that answers is trusted."""

    def __init__(self, members: Sequence[Alertmanager]) -> None:
        self._members = tuple(members)

    async def alerts(self) -> dict[Fingerprint, RoutedAlert]:
        """Return the merged alerts of all that answer; silenced or inhibited if any reports it.

        Raises:
            Unreachable: none answers.
        """
        union, *others = await self._ask_all([one.alerts() for one in self._members])
        for alerts in others:
            for key, alert in alerts.items():
                known = union.get(key)
                union[key] = alert if known is None else _merged(known, alert)
        return union

    async def post(self, alert: PostedAlert) -> None:
        """Post an alert to each: Alertmanagers gossip notifications and silences, not alerts.

        Raises:
            ClientError: none accepted it.
        """
        await self._ask_all([one.post(alert) for one in self._members])

    async def silences(
        self, alertname: str | None = None, *, pattern: bool = False
    ) -> list[Silence]:
        """Return the silences on this alert, or pattern, or all, that any of them has, each once.

        Raises:
            ClientError: none answers.
        """
        answers = await self._ask_all(
            [one.silences(alertname, pattern=pattern) for one in self._members]
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
        """Create a silence at the first that answers; gossip replicates it.

        Raises:
            Unreachable: none answers.
            Refused: one rejected it.
        """
        silent: list[str] = []
        for one in self._members:
            try:
                return await one.silence(
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
        """End a silence at each that answers: gossip may not have brought it to all yet.

        Raises:
            ClientError: none answers.
        """
        await self._ask_all([one.expire(id) for one in self._members])

    async def _ask_all(self, asked: Sequence[Awaitable[T]]) -> list[T]:
        good, bad = [], []
        for answer in await _in_time(asked):
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


async def _in_time(asked: Sequence[Awaitable[T]]) -> list[T | BaseException]:
    """Return all answers; after the first one, the others have one more second.

    A hanging member must not delay every pass by a whole request timeout.
    """
    tasks = [asyncio.ensure_future(one) for one in asked]
    waiting = set(tasks)
    try:
        while waiting and not any(one.done() and not one.exception() for one in tasks):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if waiting:
            await asyncio.wait(waiting, timeout=STRAGGLER_SECONDS)
    finally:
        for one in tasks:
            one.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    return [
        Unreachable("too slow") if isinstance(one, asyncio.CancelledError) else one
        for one in answers
    ]


def _merged(one: RoutedAlert, other: RoutedAlert) -> RoutedAlert:
    newer = max(one, other, key=lambda alert: alert.ends_at)
    return replace(
        newer,
        starts_at=min(one.starts_at, other.starts_at),
        silenced=one.silenced or other.silenced,
        silenced_by=one.silenced_by | other.silenced_by,
        inhibited=one.inhibited or other.inhibited,
    )
