"""Nonces: strictly increasing, and never without a durable ceiling."""

import pytest

from tests.service.bot.values import Clock
from trading_ops.instrument import BotMetrics
from trading_ops.paper.bot.nonces.issuer import BLOCK, JUMP, NonceExhausted, Nonces


class Disk:
    """Keeps the ceiling, or fails."""

    def __init__(self) -> None:
        self.ceilings = [0]
        self.full = False

    async def save(self, ceiling: int) -> None:
        if self.full:
            raise OSError("full")
        self.ceilings.append(ceiling)


async def test_nonces_increase_whatever_the_clock_does() -> None:
    """Nonces grow over clocks that stand, jump back and run, and over kills at any point."""
    disk, clock, issued = Disk(), Clock(), []
    metrics = BotMetrics(version="1", mode="paper")
    for micros in (10**12, 10**12, 5, 10**12 + 10**6, 10**12 + 3 * BLOCK, 7):
        clock.now = micros
        # A new process each time: it knows nothing but the stored ceiling.
        nonces = Nonces(disk.ceilings[-1], disk.save, metrics, microseconds=lambda: int(clock.now))
        for _ in range(20):
            await nonces.reserve()
            issued.append(nonces.issue())
    assert issued == sorted(set(issued))
    assert max(issued) <= disk.ceilings[-1]
    assert metrics.registry.get_sample_value("trading_nonces_issued_total") == len(issued)


async def test_nonces_are_stored_in_blocks() -> None:
    """There is a write for a block of time, not for each request."""
    disk, clock = Disk(), Clock()
    clock.now = 10**12
    metrics = BotMetrics(version="1", mode="paper")
    nonces = Nonces(0, disk.save, metrics, microseconds=lambda: int(clock.now))
    for _ in range(100):
        clock.now += BLOCK / 50
        await nonces.reserve()
        nonces.issue()
    assert len(disk.ceilings) == pytest.approx(1 + 2, abs=1)


async def test_unreserved_nonce_is_refused() -> None:
    """Without a durable ceiling no nonce is issued."""
    disk = Disk()
    nonces = Nonces(0, disk.save, BotMetrics(version="1", mode="paper"))
    with pytest.raises(NonceExhausted):
        nonces.issue()
    disk.full = True
    with pytest.raises(OSError, match="full"):
        await nonces.reserve()
    with pytest.raises(NonceExhausted):
        nonces.issue()


async def test_refused_nonce_jumps() -> None:
    """After a refusal the next nonce is far above, and covered by the ceiling."""
    disk = Disk()
    nonces = Nonces(
        0, disk.save, BotMetrics(version="1", mode="paper"), microseconds=lambda: 10**12
    )
    await nonces.reserve()
    first = nonces.issue()
    await nonces.refused()
    assert nonces.issue() >= first + JUMP
