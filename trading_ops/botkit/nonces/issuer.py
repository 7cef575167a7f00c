"""Issues nonces to the client of a venue, and recovers from a rejected nonce.

Nonces start at the wall clock in microseconds, or above the highest reserved nonce if that is
higher. The venue rejects a nonce when it has seen a higher one of the same key, from another client
or another machine. `Nonces.jump_ahead` then continues above what such a client can have used.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

from trading_ops import clock, logs
from trading_ops.botkit.nonces.exclusive import ExclusiveSource
from trading_ops.botkit.nonces.folder import key_folder
from trading_ops.botkit.nonces.shared import SharedSource
from trading_ops.botkit.nonces.source import (
    Microseconds,
    NonceExhausted,
    NonceSource,
    start_above,
    wall_clock,
)
from trading_ops.instrument import BotMetrics

log = logs.get(__name__)

MARGIN = 1_000
"""Nonces that must be reserved before a request is sent; one request may need several."""

JUMP = 60_000_000
"""Microseconds above the clock and all issued nonces after a rejection. This is above every client
whose nonces are its clock in milliseconds or microseconds, even if that clock is fast."""

RESYNC_JUMP = 60 * JUMP
"""The jump of `resync`, for when single jumps did not help."""

REQUEST_LOCK_SECONDS = 5.0
"""How long to wait for another process's request with the same key."""

POLL_SECONDS = 0.002


class Sharing(StrEnum):
    """Which processes of this machine issue the nonces of a key."""

    OWNER = "owner"
    """One process, until it exits."""

    SHARED = "shared"
    """All processes with this setting."""


class Nonces:
    """Issues the nonces of one key. Use it from one event loop, for one request at a time.

    Example:
        nonces = open_nonces(Path("nonces"), api_key, metrics)
        await nonces.reserve()
        async with nonces.request_lock():
            answer = await send(nonce=nonces.issue())
        if answer.error == "invalid nonce" and await nonces.jump_ahead():
            ...  # send the request again, once
    """

    def __init__(
        self,
        source: NonceSource,
        metrics: BotMetrics,
        *,
        lock_file: Path | None = None,
        may_resync: Callable[[], bool] = lambda: True,
        publish: Callable[[int], Awaitable[None]] | None = None,
        microseconds: Microseconds = wall_clock,
    ) -> None:
        """Issue nonces of `source`.

        Args:
            source: counts the key's nonces.
            metrics: counts issued and rejected nonces and jumps.
            lock_file: the file that a request locks when several processes share the key.
            may_resync: whether this process may jump ahead; False without the leader's lease.
            publish: stores the ceiling where other machines read it. Nonces are issued only up to
                the last published ceiling, so another machine can safely start above it.
            microseconds: the wall clock.
        """
        self._source = source
        self._metrics = metrics
        self._lock_file = lock_file
        self._may_resync = may_resync
        self._publish = publish
        self._published = 0
        self._clock = microseconds
        self._last = 0

    @property
    def reserved(self) -> int:
        """Return the ceiling: every nonce issued before the next raise is at or below it."""
        return self._source.reserved

    async def reserve(self) -> None:
        """Reserve nonces for the next request; call this before each request.

        Raises:
            NonceExhausted: none is left and no more could be reserved.
            StoreError: the ceiling could not be published.
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
            NonceExhausted: the nonce is not reserved or not published.
        """
        nonce = self._source.issue()
        if self._publish is not None and nonce > self._published:
            raise NonceExhausted(f"nonce {nonce} is above the published {self._published}")
        self._last = nonce
        self._metrics.nonce_issued()
        return nonce

    @asynccontextmanager
    async def request_lock(self) -> AsyncIterator[None]:
        """Hold the key's request lock while a request is in flight, so nonces arrive in order.

        Without `lock_file` this does nothing: one process sends its requests one after the other.
        Processes that share a key wait for each other's requests; a key per process is faster.

        Raises:
            NonceExhausted: another process held the lock for more than `REQUEST_LOCK_SECONDS`.
            OSError: the lock file cannot be opened.
        """
        if self._lock_file is None:
            yield
            return
        file = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await _lock(file, self._lock_file)
            yield
        finally:
            os.close(file)  # releases the lock

    async def jump_ahead(self) -> bool:
        """Recover from a rejected nonce: continue above what another client can have used.

        Returns:
            Whether nonces jumped; False when `may_resync` forbids it.

        Raises:
            NonceExhausted: the new ceiling could not be made durable.
            StoreError: the new ceiling could not be published.
        """
        self._metrics.nonce_refused()
        if not self._may_resync():
            log.warning("nonce_not_resynced", reason="this process may not raise the nonces")
            return False
        await self._jump(JUMP)
        return True

    def record_repeated_rejection(self) -> None:
        """Count a rejection after a jump: another client of the key uses even higher nonces."""
        self._metrics.nonce_refused()
        log.warning("nonce_refused_again", fix="give each client of the venue its own key")

    async def resync(self) -> int | None:
        """Jump ahead by an hour's worth of nonces, for the command `resync_nonce`.

        Returns:
            The number that all further nonces are above; None when `may_resync` forbids the jump.

        Raises:
            NonceExhausted: the new ceiling could not be made durable.
            StoreError: the new ceiling could not be published.
        """
        return await self._jump(RESYNC_JUMP) if self._may_resync() else None

    async def raise_to(self, floor: int) -> None:
        """Issue only nonces above `floor` from now on; another process may have issued up to it.

        Raises:
            NonceExhausted: the new ceiling could not be made durable; nothing has changed.
            StoreError: the ceiling could not be published.
        """
        await asyncio.to_thread(self._source.raise_to, floor)
        self._last = max(self._last, floor)
        await self.reserve()

    def close(self) -> None:
        """Release the key for another process; nothing is issued afterwards."""
        self._source.close()

    async def _jump(self, distance: int) -> int:
        last = max(self._last, self._source.issue())  # processes that share it may be further
        floor = start_above(last, self._clock()) + distance
        await self.raise_to(floor)
        self._metrics.nonce_resynced()
        log.info("nonce_resynced", above=floor)
        return floor


async def _lock(file: int, path: Path) -> None:
    deadline = clock.monotonic() + REQUEST_LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if clock.monotonic() >= deadline:
                raise NonceExhausted(
                    f"{path}: another process has held the key's request lock for more than"
                    f" {REQUEST_LOCK_SECONDS:g} s. Fix: stop the frozen bot that uses this key"
                ) from error
            await asyncio.sleep(POLL_SECONDS)
        else:
            return


def open_nonces(
    home: Path,
    key: str,
    metrics: BotMetrics,
    *,
    sharing: Sharing = Sharing.OWNER,
    floor: int = 0,
    may_resync: Callable[[], bool] = lambda: True,
    publish: Callable[[int], Awaitable[None]] | None = None,
) -> Nonces:
    """Lock a key's directory and continue above every nonce that was reserved in it.

    Args:
        home: contains the directories of all keys.
        key: the API key.
        metrics: of the bot.
        sharing: whether other processes of this machine use the key too.
        floor: nonces must also be above this number; 0 for no such bound.
        may_resync: as for `Nonces`.
        publish: as for `Nonces`.

    Raises:
        SetupError: another process holds the key, or its directory cannot be written or is damaged.
        NonceExhausted: `MAX_NONCE` is reached.
    """
    folder = key_folder(home, key)
    shared = sharing is Sharing.SHARED
    source = SharedSource(folder, floor=floor) if shared else ExclusiveSource(folder, floor=floor)
    return Nonces(
        source,
        metrics,
        lock_file=folder / "turn" if shared else None,
        may_resync=may_resync,
        publish=publish,
    )
