"""What the broker asks for nonces, and how a refused one is healed.

A nonce counts up from the clock in microseconds, and from whatever was reserved before where that
is higher. The venue refuses one when it has seen a higher one of this key: another client used it,
or another machine did. Then the count jumps past what such a client can have used.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

from trading_ops import clock, logs
from trading_ops.botkit.nonces.folder import folder_of
from trading_ops.botkit.nonces.owner import Owner
from trading_ops.botkit.nonces.shared import Shared
from trading_ops.botkit.nonces.source import (
    Microseconds,
    NonceExhausted,
    Source,
    begin,
    wall_clock,
)
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

MARGIN = 1_000
"""Nonces that must be left before a request is made, which may need several."""

JUMP = 60_000_000
"""Microseconds past the clock and all issued ones, when the venue has seen a higher nonce: beyond
every client that takes the clock in milli- or microseconds, even one whose clock is fast."""

RESYNC_JUMP = 60 * JUMP
"""The same when a person or a runbook asks for it: healing a minute at a time was not enough."""

TURN_SECONDS = 5.0
"""How long to wait for another process' request with the same key."""

TURN_NAP_SECONDS = 0.002


class Sharing(StrEnum):
    """Who issues the nonces of a key on this machine."""

    OWNER = "owner"
    """One process, until it ends."""

    SHARED = "shared"
    """All processes with this setting."""


def always() -> bool:
    """Nothing speaks against it."""
    return True


class Nonces:
    """Issues the nonces of one key; all in one loop, requests are made one after the other."""

    def __init__(
        self,
        source: Source,
        metrics: BotMetrics,
        *,
        turn_file: Path | None = None,
        may_heal: Callable[[], bool] = always,
        publish: Callable[[int], Awaitable[None]] | None = None,
        microseconds: Microseconds = wall_clock,
    ) -> None:
        """Count with `source`.

        Args:
            source: of the key.
            metrics: of the bot.
            turn_file: the file whose lock a request holds, when processes share the key.
            may_heal: whether this process may move the key's nonces on; not without the lease.
            publish: tells other machines what was reserved here; nothing above what it was last
                given is issued, so whoever goes on above that is above everything of this process.
            microseconds: the wall clock.
        """
        self._source = source
        self._metrics = metrics
        self._turn_file = turn_file
        self._may_heal = may_heal
        self._publish = publish
        self._published = 0
        self._clock = microseconds
        self._last = 0

    @property
    def reserved(self) -> int:
        """Return the ceiling: nothing is issued above it before it is raised."""
        return self._source.reserved

    async def reserve(self) -> None:
        """Make sure that the next request has its nonces.

        Raises:
            NonceExhausted: none are left, and no more can be made durable.
            StoreError: what is reserved could not be published.
        """
        if self._last + MARGIN > self.reserved:
            await asyncio.to_thread(self._source.raise_to, self._last + MARGIN)
        reserved = self.reserved
        if self._publish is not None and reserved > self._published:
            await self._publish(reserved)
            self._published = reserved

    def issue(self) -> int:
        """Return the next nonce.

        Raises:
            NonceExhausted: it was not reserved, or not published.
        """
        nonce = self._source.issue()
        if self._publish is not None and nonce > self._published:
            raise NonceExhausted(f"nonce {nonce} is above the published {self._published}")
        self._last = nonce
        self._metrics.nonce_issued()
        return nonce

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold the key's turn while a request is under way: it must arrive in its nonce's order.

        An owner's own requests are made one after the other, which is enough. Processes that share
        a key wait for each other, so each is as slow as all together; a key for each is better.

        Raises:
            NonceExhausted: another process held the turn for too long.
            OSError: the file of the lock cannot be opened.
        """
        if self._turn_file is None:
            yield
            return
        file = os.open(self._turn_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await _lock(file, self._turn_file)
            yield
        finally:
            os.close(file)  # which ends the lock

    async def refused(self) -> bool:
        """Jump ahead, since the venue has seen a higher nonce; return whether that was done.

        Raises:
            NonceExhausted: the new ceiling could not be made durable.
            StoreError: it could not be published.
        """
        self._metrics.nonce_refused()
        if not self._may_heal():
            log.warning("nonce_not_healed", reason="this process may not move the key's nonces on")
            return False
        await self._jump(JUMP)
        return True

    def refused_again(self) -> None:
        """Count a refusal that a jump did not heal: another client uses larger numbers."""
        self._metrics.nonce_refused()
        log.warning("nonce_refused_again", fix="give each client of the venue a key of its own")

    async def resync(self) -> int | None:
        """Jump far ahead now; return the number that nonces are above, None if it may not be done.

        Raises:
            NonceExhausted: the new ceiling could not be made durable.
            StoreError: it could not be published.
        """
        return await self._jump(RESYNC_JUMP) if self._may_heal() else None

    async def raise_to(self, floor: int) -> None:
        """Issue only above `floor` from now on: another process may have issued up to it.

        Raises:
            NonceExhausted: it could not be made durable; nothing has changed.
            StoreError: what is reserved could not be published.
        """
        await asyncio.to_thread(self._source.raise_to, floor)
        self._last = max(self._last, floor)
        await self.reserve()

    def close(self) -> None:
        """Issue nothing any more, and let another process have the key."""
        self._source.close()

    async def _jump(self, distance: int) -> int:
        last = max(self._last, self._source.issue())  # the others who share may be further on
        floor = begin(last, self._clock()) + distance
        await self.raise_to(floor)
        self._metrics.nonce_resynced()
        log.info("nonce_resynced", above=floor)
        return floor


async def _lock(file: int, path: Path) -> None:
    deadline = clock.monotonic() + TURN_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if clock.monotonic() >= deadline:
                raise NonceExhausted(
                    f"{path}: another process has held the key's turn for more than"
                    f" {TURN_SECONDS:g} s. Fix: end the bot of this key that is frozen"
                ) from error
            await asyncio.sleep(TURN_NAP_SECONDS)
        else:
            return


def open_nonces(
    home: Path,
    key: str,
    metrics: BotMetrics,
    *,
    sharing: Sharing = Sharing.OWNER,
    floor: int = 0,
    may_heal: Callable[[], bool] = always,
    publish: Callable[[int], Awaitable[None]] | None = None,
) -> Nonces:
    """Take a key's folder on this machine and continue above all that was reserved in it.

    Args:
        home: the folder of all keys' folders.
        key: of the API.
        metrics: of the bot.
        sharing: who issues the key's nonces.
        floor: another number that nonces must be above, 0 for none.
        may_heal: as for `Nonces`.
        publish: as for `Nonces`.

    Raises:
        SetupError: another process has the key, or the folder cannot be used, or is damaged.
        NonceExhausted: there are no higher numbers.
    """
    folder = folder_of(home, key)
    shared = sharing is Sharing.SHARED
    source = Shared(folder, floor=floor) if shared else Owner(folder, floor=floor)
    return Nonces(
        source,
        metrics,
        turn_file=folder / "turn" if shared else None,
        may_heal=may_heal,
        publish=publish,
    )
