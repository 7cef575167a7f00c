"""Out of every position: carried out by a Freqtrade, and asked about by counting."""

import contextlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta

import aiohttp
import pytest

from tests.builders import FixedSecrets, make_target
from tests.fakes import RecordingChannel
from tests.service.clients.trading_freqtrade import TradingFreqtrade
from tests.service.exporter.freqtrades import PASSWORD, USER
from trading_ops.actions.base import Action, Call, Probe
from trading_ops.actions.registry import build
from trading_ops.clients.directory import Directory
from trading_ops.domain.attempt import AttemptId, DeliverySemantics
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import Unreachable
from trading_ops.listener import KnownListeners


@contextlib.asynccontextmanager
async def ordering(
    fake: TradingFreqtrade, connector: aiohttp.BaseConnector | None = None
) -> AsyncIterator[tuple[dict[str, Action], Call]]:
    async with fake.serving() as address, aiohttp.ClientSession(connector=connector) as session:
        freq = make_target(name="freq", kind=Kind.FREQTRADE, address=address, service=None)
        directory = Directory(
            session, Registry((freq,)), FixedSecrets(freqtrade=f"{USER}:{PASSWORD}")
        )
        call = Call(
            attempt_id=AttemptId("attempt-1"),
            fence=1,
            target=freq,
            params={},
            within=timedelta(seconds=5),
            requested_by="ada",
            reason="the exchange is closing",
        )
        yield build(directory, RecordingChannel()), call


async def test_it_is_done_once_by_two_persons_and_leaves_a_halt() -> None:
    """The hold has the attempt's id and the person's name."""
    fake = TradingFreqtrade()
    async with ordering(fake) as (actions, call):
        flatten = actions["flatten_positions"]
        assert (flatten.delivery, flatten.two_person_approval) == (DeliverySemantics.ONE_SHOT, True)
        assert flatten.kinds == {Kind.FREQTRADE}
        assert await flatten.perform(call) == "halted, nothing is open, stopped"
    (lock,) = fake.active_locks()
    assert lock["reason"] == "trading-ops halted attempt-1 ada the exchange is closing"


async def test_the_answers_of_another_users_process_count_for_nothing() -> None:
    """On the address of a Freqtrade that died, it would say that nothing is open."""
    fake = TradingFreqtrade()
    others = KnownListeners(frozenset({os.geteuid() + 1}))  # to it, the fake is another user's
    async with ordering(fake, others) as (actions, call):
        with pytest.raises(Unreachable, match="no token was sent"):
            await actions["flatten_positions"].perform(call)
        with pytest.raises(Unreachable, match="no token was sent"):
            await actions["flatten_positions"].probe(call)
    assert fake.active_locks() == []


async def test_what_became_of_it_is_counted() -> None:
    """Nothing open is done, whether it is stopped by then or not; something open is not."""
    fake = TradingFreqtrade(open_trades=1)
    async with ordering(fake) as (actions, call):
        probe = actions["flatten_positions"].probe
        for state in ("paused", "stopped"):
            fake.state, fake.open = state, 1
            assert await probe(call) is Probe.FAILED
            fake.open = 0
            assert await probe(call) is Probe.DONE
    assert fake.orders == []


async def test_a_hold_that_was_placed_is_found_and_one_that_was_not_is_unknown() -> None:
    """Never “it did not arrive”: nothing at a Freqtrade could prove that."""
    fake = TradingFreqtrade()
    async with ordering(fake) as (actions, call):
        halt = actions["halt_trading"]
        assert await halt.probe(call) is Probe.UNKNOWN
        await halt.perform(call)
        assert await halt.probe(call) is Probe.DONE
