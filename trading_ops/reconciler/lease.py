"""This replica's claims: taken for what is open, renewed while it lives, given up at the end.

With SQLite there is one process and this costs a row or two; with PostgreSQL it is what lets
several reconcilers share the work. Renewals have a connection of their own there, so that no
backlog of writes can let a lease run out.
"""

import asyncio
import contextlib
import os
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from functools import partial

from trading_ops import clock, logs
from trading_ops.domain.incident import Incident
from trading_ops.errors import StoreError
from trading_ops.reconciler.tasks import Succeeded
from trading_ops.store import claims
from trading_ops.store.claims import LEASE, MARGIN, Claim
from trading_ops.store.writer import Writer

log = logs.get(__name__)

RENEW_SECONDS = 5.0
RETRY_SECONDS = 1.0
USABLE_SECONDS = (LEASE - MARGIN).total_seconds()
LEASE_SECONDS = LEASE.total_seconds()


def replica_name() -> str:
    """Return a name that no other replica has, nor a former life of this one."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def key_of(incident: Incident) -> str:
    """Return what a replica must hold to work on an incident.

    What names no registered target is shared out in sixteen parts: nothing is done there, and a
    storm of it must not become as many leases.
    """
    if incident.target:
        return key_of_target(incident.target)
    return f"unregistered:{incident.fingerprint[-1:]}"


def key_of_target(target: str) -> str:
    """Return what a replica must hold to act on a target."""
    return f"target:{target}"


class Lease:
    """The keys that this replica holds."""

    def __init__(self, writer: Writer, replica: str, *, alone: bool) -> None:
        """Take a writer whose connection is not kept busy by others.

        Args:
            writer: carries the claims out.
            replica: this replica's name.
            alone: nobody else can be alive, so what a former life held is free.
        """
        self._writer = writer
        self.alone = alone
        self._pins: Counter[str] = Counter()
        self._lock = asyncio.Lock()
        self._renewed_at = float("-inf")
        self._keys: frozenset[str] = frozenset()
        self.replica = replica

    @property
    def age_seconds(self) -> float:
        """How long ago the leases were last extended, counted from before they were."""
        return clock.monotonic() - self._renewed_at

    @property
    def keys(self) -> frozenset[str]:
        """What is held now; nothing once the leases may have run out."""
        return self._keys if self.age_seconds < LEASE_SECONDS else frozenset()

    def claim(self, key: str) -> Claim:
        """Return the claim to be checked inside a transaction."""
        return Claim(key, self.replica)

    def may_start(self, target: str) -> bool:
        """Whether an effect on a target may begin: some of the lease must be left for it."""
        return key_of_target(target) in self._keys and self.age_seconds < USABLE_SECONDS

    async def begin(self) -> None:
        """Take up work: show this replica, and clear what only a former life can have held."""
        if self.alone:
            await self._writer.run(claims.clear)
        await self._renew()

    async def run(self, succeeded: Succeeded, *, works: Callable[[], bool]) -> None:
        """Extend the leases until cancelled, as long as the loop that they are for comes round."""
        while True:
            if not works():
                log.error("lease_left_to_end", age=round(self.age_seconds, 1))
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                await self._renew()
            except StoreError as error:
                log.warning("lease_not_renewed", error=str(error), age=round(self.age_seconds, 1))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                succeeded()
                await asyncio.sleep(RENEW_SECONDS)

    async def end(self) -> None:
        """Give everything up, so that nobody has to wait for the leases to run out."""
        self._keys = frozenset()
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(RETRY_SECONDS):
                await self._writer.run(partial(claims.leave, replica=self.replica))

    async def hold(self, wanted: Collection[str]) -> frozenset[str]:
        """Take what is free of the wanted keys, let go of others, and return what is held.

        Costs nothing while all that is wanted is held.
        """
        if self.age_seconds >= USABLE_SECONDS:
            await self._renew()  # it was frozen, or the database was away: what is left?
        async with self._lock:
            missing = [key for key in wanted if key not in self._keys]
            kept = {key for key, pins in self._pins.items() if pins}
            spare = self._keys.difference(wanted, kept)
            if spare:
                await self._release(spare)
            if missing:
                # What is only borrowed is no part of the share, or a free key might be nobody's.
                await self._take(missing, held=len(self._keys.intersection(wanted)))
            return self.keys

    @contextlib.asynccontextmanager
    async def borrowed(self, target: str) -> AsyncIterator[bool]:
        """Hold a target for a person's order; yields whether this replica has it."""
        async with self.pinned(key_of_target(target)) as held:
            yield held

    @contextlib.asynccontextmanager
    async def pinned(self, key: str) -> AsyncIterator[bool]:
        """Hold a key for the time of the context; yields whether this replica has it."""
        self._pins[key] += 1
        try:
            async with self._lock:
                if key not in self.keys:
                    await self._take([key], held=0)
            yield key in self.keys
        finally:
            self._pins[key] -= 1

    async def _renew(self) -> None:
        async with self._lock:
            before = clock.monotonic()
            self._keys = await self._writer.run(
                partial(claims.renew, replica=self.replica, now=clock.now())
            )
            self._renewed_at = before

    async def _take(self, missing: Iterable[str], *, held: int) -> None:
        taken = await self._writer.run(
            partial(
                claims.take,
                replica=self.replica,
                wanted=sorted(missing),
                held=held,
                now=clock.now(),
            )
        )
        self._keys |= taken

    async def _release(self, spare: frozenset[str]) -> None:
        self._keys -= spare
        await self._writer.run(partial(claims.release, replica=self.replica, keys=spare))
