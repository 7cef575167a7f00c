"""The parts of a bot that can wait are suspended while a maintenance window is open, no longer."""

from datetime import timedelta
from typing import Any, cast

import pytest

from tests.builders import NOW
from trading_ops.agent import BadRequest
from trading_ops.botkit.suspension import MAX_SECONDS, Suspension, suspension_commands
from trading_ops.domain.maintenance import Maintenance
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import Unreachable
from trading_ops.holds.suppression import Suppression
from trading_ops.holds.suspension import PartSuspension

BOTS = Registry(
    tuple(
        Target(name=name, kind=kind, address=f"127.0.0.1:{port}", venue="paper")
        for name, kind, port in (
            ("alpha", Kind.BOT, 8411),
            ("beta", Kind.BOT, 8412),
            ("freq", Kind.FREQTRADE, 8080),
        )
    )
)
MINUTE = timedelta(minutes=1)


class Desk:
    """The suspension at a set time, with the windows that a test opens."""

    def __init__(self, *, observe_only: bool = False) -> None:
        self.now = NOW
        self.sent: list[tuple[str, int]] = []
        self.away = False
        self._known = Suppression(reader=cast("Any", None), observe_only=observe_only)
        self._suspension = PartSuspension(BOTS, self._known, self._send, now=lambda: self.now)

    async def _send(self, target: Target, seconds: int) -> str:
        if self.away:
            raise Unreachable("no answer")
        self.sent.append((target.name, seconds))
        return ""

    def open(self, target: str | None, length: timedelta) -> None:
        window = Maintenance(
            target=target, owner="ann", reason="", begins_at=NOW, ends_at=NOW + length
        )
        self._known._windows = [window]

    def close(self) -> None:
        self._known._windows = []

    async def renew(self, after: timedelta = timedelta()) -> list[tuple[str, int]]:
        """Return what one pass sends, that long after the last."""
        self.now += after
        self.sent.clear()
        await self._suspension.renew()
        return sorted(self.sent)


async def test_it_is_renewed_and_ends_with_the_window() -> None:
    """The last request ends when the window does; then there is one to resume, at most."""
    desk = Desk()
    assert await desk.renew() == []
    desk.open("alpha", 2 * MINUTE)
    assert await desk.renew() == [("alpha", 60)]
    assert await desk.renew(1.5 * MINUTE) == [("alpha", 30)]
    assert await desk.renew(MINUTE) == [("alpha", 0)]
    assert await desk.renew(MINUTE) == []


async def test_a_window_of_the_fleet_concerns_each_bot_with_our_agent() -> None:
    desk = Desk()
    desk.open(None, 10 * MINUTE)
    assert await desk.renew() == [("alpha", 60), ("beta", 60)]


async def test_observe_only_suspends_nothing() -> None:
    """It is an action."""
    desk = Desk(observe_only=True)
    desk.open(None, 10 * MINUTE)
    assert await desk.renew() == []


async def test_an_early_end_resumes_also_when_the_bot_was_away() -> None:
    """Until it answers; without an answer it resumes on its own after a minute."""
    desk = Desk()
    desk.open("alpha", 10 * MINUTE)
    await desk.renew()
    desk.close()
    desk.away = True
    assert await desk.renew() == []
    desk.away = False
    assert await desk.renew() == [("alpha", 0)]


def test_the_bot_resumes_on_its_own() -> None:
    seconds = [0.0]
    suspension = Suspension({"model"}, monotonic=lambda: seconds[0])
    assert not suspension.is_suspended("model")
    suspension.suspend(60)
    seconds[0] = 59.0
    assert suspension.is_suspended("model")
    seconds[0] = 60.0
    assert not suspension.is_suspended("model")
    suspension.suspend(60)
    suspension.suspend(0)
    assert not suspension.is_suspended("model")


def test_what_was_not_declared_cannot_be_suspended() -> None:
    """Orders and stops ask for nothing, and a typo must not count as running."""
    with pytest.raises(KeyError):
        Suspension({"model"}).is_suspended("orders")


@pytest.mark.parametrize("seconds", ["", "-1", "1.5", "x", str(MAX_SECONDS + 1), "9" * 50, "²"])
def test_only_a_bounded_time_is_accepted(seconds: str) -> None:
    command = suspension_commands(Suspension({"model"}))["suspend_parts"]
    with pytest.raises(BadRequest):
        command.check({"seconds": seconds})
