"""This replica's leases: acquired for open incidents, renewed, and released at the end.

With SQLite there is one process and this costs a row or two; with PostgreSQL it lets several
reconcilers share the work. There, renewals use their own connection, so that a backlog of writes
cannot expire a lease.
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
from trading_ops.store import leases
from trading_ops.store.leases import LEASE, MARGIN, Claim
from trading_ops.store.writer import Writer
from trading_ops.tasks import Succeeded

log = logs.get(__name__)

RENEW_SECONDS = 5.0
RETRY_SECONDS = 1.0
USABLE_SECONDS = (LEASE - MARGIN).total_seconds()
LEASE_SECONDS = LEASE.total_seconds()


def replica_name() -> str:
    """Return a name that is unique across replicas and restarts."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def key_of(incident: Incident) -> str:
    """Return the lease key for an incident.

    Incidents without a registered target share sixteen keys: no action runs on them, and a storm
    must not create as many leases.
    """
    if incident.target:
        return key_of_target(incident.target)
    return f"unregistered:{incident.fingerprint[-1:]}"


def key_of_target(target: str) -> str:
    """Return the lease key for a target."""
    return f"target:{target}"


class Leases:
    """The leases of this replica."""

    def __init__(self, writer: Writer, replica: str, *, alone: bool) -> None:
        """Use a writer whose connection is not shared.

        Args:
            writer: writes the leases.
            replica: this replica's name.
            alone: no other replica can be alive, so leases of a previous process are free.
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
        """Seconds since the start of the last renewal."""
        return clock.monotonic() - self._renewed_at

    @property
    def keys(self) -> frozenset[str]:
        """Keys held now; empty once the leases may have expired."""
        return self._keys if self.age_seconds < LEASE_SECONDS else frozenset()

    def claim(self, key: str) -> Claim:
        """Return the claim to check inside a transaction."""
        return Claim(key, self.replica)

    def may_start(self, target: str) -> bool:
        """Whether an action on a target may start: enough of the lease must be left."""
        return key_of_target(target) in self._keys and self.age_seconds < USABLE_SECONDS

    async def begin(self) -> None:
        """Start: register this replica, and clear leases of a previous process."""
        if self.alone:
            await self._writer.run(leases.clear)
        await self._renew()

    async def run(self, succeeded: Succeeded, *, works: Callable[[], bool]) -> None:
        """Renew the leases until cancelled, while the loop makes progress."""
        while True:
            if not works():
                log.error("lease_renewal_stopped", age=round(self.age_seconds, 1))
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
        """Release all leases, so that others need not wait for expiry."""
        self._keys = frozenset()
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(RETRY_SECONDS):
                await self._writer.run(partial(leases.leave, replica=self.replica))

    async def hold(self, wanted: Collection[str]) -> frozenset[str]:
        """Acquire free ones of the wanted keys, release others, and return the held keys.

        Costs nothing while all wanted keys are held.
        """
        if self.age_seconds >= USABLE_SECONDS:
            await self._renew()  # it was frozen, or the database was unreachable: which are left?
        async with self._lock:
            missing = [key for key in wanted if key not in self._keys]
            kept = {key for key, pins in self._pins.items() if pins}
            spare = self._keys.difference(wanted, kept)
            if spare:
                await self._release(spare)
            if missing:
                # Borrowed keys do not count as its share, or a free key might stay unowned.
                await self._take(missing, held=len(self._keys.intersection(wanted)))
            return self.keys

    @contextlib.asynccontextmanager
    async def borrowed(self, target: str) -> AsyncIterator[bool]:
        """Hold a target's lease for a manual action; yields whether this replica has it."""
        async with self.pinned(key_of_target(target)) as held:
            yield held

    @contextlib.asynccontextmanager
    async def pinned(self, key: str) -> AsyncIterator[bool]:
        """Hold a key during the context; yields whether this replica has it."""
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
                partial(leases.renew, replica=self.replica, now=clock.now())
            )
            self._renewed_at = before

    async def _take(self, missing: Iterable[str], *, held: int) -> None:
        taken = await self._writer.run(
            partial(
                leases.take,
                replica=self.replica,
                wanted=sorted(missing),
                held=held,
                now=clock.now(),
            )
        )
        self._keys |= taken

    async def _release(self, spare: frozenset[str]) -> None:
        self._keys -= spare
        await self._writer.run(partial(leases.release, replica=self.replica, keys=spare))
