"""A Freqtrade is commanded as an agent is, and its word is not taken for it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from tests.builders import FixedSecrets
from tests.service.clients.trading_freqtrade import TradingFreqtrade
from tests.service.exporter.freqtrades import EVERYTHING, PASSWORD, USER, FakeFreqtrade
from tests.waiting import eventually
from trading_ops.clients.agent import AgentClient, CommandAnswer, CommandResult
from trading_ops.clients.directory import BotControl, Directory
from trading_ops.clients.freqtrade import Freqtrade
from trading_ops.clients.freqtrade_api import LONGEST_REASON, from_reason, to_reason
from trading_ops.clients.http import Http
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import Refused, Unreachable

WHO = {"owner": "anna", "reason": "odd fills"}
HOLD = {**WHO, "id": "hold-1"}
RELEASE = {**WHO, "holds": "hold-1"}


@contextlib.asynccontextmanager
async def commanding(fake: FakeFreqtrade, password: str = PASSWORD) -> AsyncIterator[Freqtrade]:
    async with fake.serving() as address, aiohttp.ClientSession() as session:
        basic = f"{USER}:{password}"
        yield Freqtrade(Http(session, f"http://{address}", basic=basic), "freq")


async def order(
    bot: BotControl, name: str, params: Mapping[str, str] = WHO, *, seconds: float = 60
) -> CommandResult:
    return await bot.command(
        name, params, attempt_id="a", fence=1, within=timedelta(seconds=seconds)
    )


async def test_it_is_a_bot_as_an_agent_is() -> None:
    """Both have the one Protocol, so anyone who commands bots needs not know which it is."""
    async with aiohttp.ClientSession() as session:
        http = Http(session, "http://127.0.0.1:1")
        bots: tuple[BotControl, ...] = (AgentClient(http), Freqtrade(http, "freq"))
        for bot in bots:
            with pytest.raises(Unreachable):
                await bot.health()


async def test_health_is_reported_in_our_terms() -> None:
    """State, the loop, and which start it was."""
    fake = FakeFreqtrade()
    async with commanding(fake) as bot:
        health = await bot.health()
        assert (health.bot, health.status, health.state) == ("freq", "ok", "active")
        assert health.incarnation == str(float(int(fake.started)))
        assert health.components["heartbeat"].up
        assert health.holds == []
        fake.looped -= 100
        assert (await bot.health()).status == "degraded"
        fake.state = "stopped"
        health = await bot.health()
        assert (health.status, health.state) == ("failing", "halted")


async def test_a_frozen_one_is_asked_one_thing_at_a_time() -> None:
    """A request that times out is followed by pauses, then by a ping alone."""
    fake = FakeFreqtrade()
    fake.hangs = {EVERYTHING}
    async with fake.serving() as address, aiohttp.ClientSession() as session:
        soon = timedelta(seconds=0.2)
        http = Http(session, f"http://{address}", basic=f"{USER}:{PASSWORD}", within=soon)
        bot = Freqtrade(http, "freq")
        for _ in range(20):
            with pytest.raises(Unreachable):
                await bot.health()
        assert fake.asked == ["health"]

        async def tries_again() -> bool:
            with pytest.raises(Unreachable):
                await bot.health()
            return len(fake.asked) > 1

        await eventually(tries_again)
        assert fake.asked == ["health", "ping"]
        fake.thaw()
        patient = Freqtrade(Http(session, f"http://{address}", basic=f"{USER}:{PASSWORD}"), "freq")
        assert (await patient.health()).status == "ok"


async def test_a_refused_connection_needs_no_pause() -> None:
    """Nothing queues where nothing listens, so its return is seen at once."""
    async with aiohttp.ClientSession() as session:
        port = unused_port()
        http = Http(session, f"http://127.0.0.1:{port}", basic=f"{USER}:{PASSWORD}")
        bot = Freqtrade(http, "freq")
        with pytest.raises(Unreachable):
            await bot.health()
        async with FakeFreqtrade().serving(port):
            assert (await bot.health()).status == "ok"


@pytest.mark.parametrize("late", [0, 3])
async def test_a_halt_is_a_pause_and_a_lock(late: int) -> None:
    """It succeeds when both can be read, however late they come; and it says whose it is."""
    fake = FakeFreqtrade()
    fake.late = late
    async with commanding(fake) as bot:
        answer = await order(bot, "halt", HOLD)
        assert answer.succeeded, answer.detail
        assert "not cancelled" in answer.detail  # entries that rest at the exchange
        health = await bot.health()
    assert fake.state == "paused"
    assert len(fake.locks) == 1
    assert fake.locks[0]["pair"] == "*"
    assert fake.locks[0]["lock_end_timestamp"] / 1000 > 60 * 60 * 24 * 365
    assert health.state == "halted"
    assert health.holds is not None
    (hold,) = health.holds
    assert (hold.id, hold.state) == ("hold-1", "halted")
    assert (hold.owner, hold.reason) == ("anna", "odd fills")
    assert hold.at == pytest.approx(fake.locks[0]["lock_timestamp"] / 1000)


async def test_the_same_halt_twice_is_one() -> None:
    """Repeating does no harm, and a reduction of the same id does not weaken it."""
    fake = FakeFreqtrade()
    async with commanding(fake) as bot:
        for name in ("halt", "halt", "reduce"):
            assert (await order(bot, name, HOLD)).succeeded
        assert len(fake.locks) == 1
        assert (await bot.health()).state == "halted"


async def test_a_reduction_becomes_a_halt() -> None:
    """Under one id the stricter stands, and one word releases both locks."""
    fake = FakeFreqtrade()
    async with commanding(fake) as bot:
        assert (await order(bot, "reduce", HOLD)).succeeded
        assert (fake.state, (await bot.health()).state) == ("running", "reducing")
        assert (await order(bot, "halt", HOLD)).succeeded
        holds = (await bot.health()).holds
        assert holds is not None
        assert [(hold.id, hold.state) for hold in holds] == [("hold-1", "halted")]
        assert (await order(bot, "resume", RELEASE)).succeeded
        assert (await bot.health()).state == "active"


async def test_a_halt_outlives_a_restart() -> None:
    """The pause is gone and the lock is not: it is reported as weaker, and placed again."""
    fake = FakeFreqtrade()
    async with commanding(fake) as bot:
        await order(bot, "halt", HOLD)
        fake.restart()
        health = await bot.health()
        assert (fake.state, health.state) == ("running", "reducing")
        assert health.holds is not None
        assert [hold.state for hold in health.holds] == ["reducing"]
        assert (await order(bot, "halt", HOLD)).succeeded
        assert (await bot.health()).state == "halted"
        assert len(fake.locks) == 1


async def test_the_lock_alone_remembers_the_halt() -> None:
    """Even one who knows of no holds can put a restarted bot back; and only such a one."""
    fake = FakeFreqtrade()
    async with commanding(fake) as bot:
        assert not await bot.reapply()
        await order(bot, "reduce", HOLD)
        assert not await bot.reapply()
        await order(bot, "halt", {**WHO, "id": "hold-2"})
        assert not await bot.reapply()
        fake.restart()
        assert await bot.reapply()
        assert fake.state == "paused"


@pytest.mark.parametrize("code", [500, 502])
async def test_what_was_done_and_answered_with_an_error_is_done(code: int) -> None:
    """The state is asked, not the status."""
    fake = FakeFreqtrade()
    fake.errors = {"pause": code, "locks": code, "start": code}
    async with commanding(fake) as bot:
        assert (await order(bot, "halt", HOLD)).succeeded
        assert (await order(bot, "resume", RELEASE)).succeeded
    assert fake.state == "running"


@pytest.mark.parametrize("deaf", ["pause", "locks"])
async def test_what_was_only_promised_has_failed(deaf: str) -> None:
    """It answers 200 and does nothing: no halt, but the other half of it is done."""
    fake = FakeFreqtrade()
    fake.deaf = {deaf}
    async with commanding(fake) as bot:
        answer = await order(bot, "halt", HOLD, seconds=1)
    assert answer.outcome == "failed"
    assert "not confirmed" in answer.detail
    assert (fake.state == "paused", len(fake.locks) == 1) == (deaf != "pause", deaf != "locks")


@pytest.mark.parametrize(("name", "params"), [("pause", WHO), ("reload", WHO), ("resume", RELEASE)])
async def test_every_command_is_confirmed(name: str, params: Mapping[str, str]) -> None:
    """Not only a halt."""
    fake = FakeFreqtrade()
    async with commanding(fake) as bot:
        if name == "resume":
            await order(bot, "halt", HOLD)
        fake.deaf = {"pause", "reload_config", "start"}
        assert (await order(bot, name, params, seconds=1)).outcome == "failed"


async def test_a_halt_does_not_start_one_that_is_stopped() -> None:
    """Its pause would; so it gets the lock alone, and is halted as it is."""
    fake = FakeFreqtrade()
    fake.state = "stopped"
    async with commanding(fake) as bot:
        assert (await order(bot, "halt", HOLD)).succeeded
        released = await order(bot, "resume", RELEASE)
        assert released.succeeded
        assert "stopped" in released.detail, "the operator sees that it does not trade"
    assert fake.state == "stopped"
    assert "pause" not in fake.asked
    assert "start" not in fake.asked


async def test_resume_releases_what_it_names() -> None:
    """Another's halt stands, and so does a protection's lock; `all` means all of ours."""
    fake = FakeFreqtrade()
    fake.lock("*", ends_in=600)
    async with commanding(fake) as bot:
        await order(bot, "halt", HOLD)
        await order(bot, "halt", {**WHO, "id": "hold-2"})
        assert "another halt" in (await order(bot, "resume", RELEASE)).detail
        assert fake.state == "paused"
        assert (await order(bot, "resume", {**WHO, "holds": "all"})).succeeded
    assert fake.state == "running"
    assert [lock["reason"] for lock in fake.locks if lock["active"]] == ["a test"]


async def test_resume_of_nothing_starts_nothing() -> None:
    """Someone paused it manually: that is not our hold."""
    fake = FakeFreqtrade()
    fake.state = "paused"
    async with commanding(fake) as bot:
        assert "in force" in (await order(bot, "resume", RELEASE)).detail
    assert fake.state == "paused"


async def test_a_lock_that_stays_is_no_resume() -> None:
    """It is not started before its locks are gone."""
    fake = FakeFreqtrade()
    async with commanding(fake) as bot:
        await order(bot, "halt", HOLD)
        fake.deaf = {"unlock"}
        assert (await order(bot, "resume", RELEASE, seconds=1)).outcome == "failed"
    assert fake.state == "paused"


@pytest.mark.parametrize("held", ["halt", "pause", ""])
async def test_a_reload_lets_nothing_loose(held: str) -> None:
    """It ends a pause, which is therefore ordered again."""
    fake = FakeFreqtrade()
    fake.late = 1
    async with commanding(fake) as bot:
        if held:
            await order(bot, held, HOLD)
        started = fake.started
        assert (await order(bot, "reload")).succeeded
    assert fake.started > started
    assert fake.state == ("paused" if held else "running")


async def test_a_reload_that_stops_it_comes_to_its_end() -> None:
    """As its configuration says; it has no new start then, which must not be waited for."""
    fake = TradingFreqtrade()
    fake.initial_state, fake.reloading = "stopped", 2
    async with commanding(fake) as bot:
        answer = await order(bot, "reload")
    assert (answer.succeeded, fake.state) == (True, "stopped")


async def test_a_pause_that_a_reload_swallows_is_ordered_again() -> None:
    """While it reloads it answers a pause and forgets it; the halt is in force all the same."""
    fake = TradingFreqtrade()
    fake.state, fake.reloading = "reload_config", 3
    async with commanding(fake) as bot:
        assert (await order(bot, "halt", HOLD)).succeeded
        assert (await bot.health()).state == "halted"
    assert fake.state == "paused"


async def test_a_pause_that_is_lost_is_ordered_again() -> None:
    """It was reloaded between the order and the reading: it runs, and is reported once more."""
    fake = TradingFreqtrade()
    fake.deaf = {"pause"}
    async with commanding(fake) as bot:
        halting = asyncio.create_task(order(bot, "halt", HOLD))
        await eventually(lambda: "pause" in fake.orders)
        fake.deaf = set()
        assert (await halting).succeeded
    assert fake.orders.count("pause") == 2


async def test_a_lock_does_not_keep_a_forced_entry_out() -> None:
    """That is why a lock alone is reported as `reducing`, and a halt pauses as well."""
    fake = TradingFreqtrade(open_trades=0)
    async with commanding(fake) as bot, aiohttp.ClientSession() as session:
        address = bot._api._http._base

        async def enter() -> int:
            async with session.post(f"{address}/api/v1/forceenter", json={}) as answer:
                return answer.status

        await order(bot, "reduce", HOLD)
        assert (await enter(), fake.open) == (200, 1)
        assert (await bot.health()).state == "reducing"
        await order(bot, "halt", HOLD)
        assert (await enter(), fake.open) == (502, 1)


@pytest.mark.parametrize("blocked", ["status", "balance"])
async def test_what_asks_the_exchange_is_not_asked(blocked: str) -> None:
    """A loop that is blocked by 429 keeps those waiting for 15 s: a halt must not."""
    fake = TradingFreqtrade()
    fake.blocked, fake.hangs = True, {blocked}
    fake.looped -= 80
    async with commanding(fake) as bot:
        assert (await bot.health()).status == "degraded"
        assert (await order(bot, "halt", HOLD)).succeeded
        assert (await bot.health()).state == "halted"


async def test_after_a_stop_and_a_restart_it_trades_unless_it_is_held() -> None:
    """Freqtrade's own stop is as forgetful as its pause: what stands is the lock."""
    fake = TradingFreqtrade()
    async with commanding(fake) as bot:
        fake.state = "stopped"
        fake.restart()
        assert (await bot.health()).state == "active"
        await order(bot, "halt", HOLD)
        fake.state = "stopped"
        assert (await bot.health()).state == "halted"
        fake.restart()
        assert (fake.state, (await bot.health()).state) == ("running", "reducing")
        assert await bot.reapply()
        assert (await bot.health()).state == "halted"


async def test_what_became_of_a_hold_is_read_from_what_stands() -> None:
    """It keeps no attempts: a halt is done when it is in force, and otherwise no one can tell."""
    fake = FakeFreqtrade()
    async with commanding(fake) as bot:
        assert (await bot.attempt("hold-1")).outcome == "unknown"
        await order(bot, "halt", HOLD)
        assert (await bot.attempt("hold-1")).outcome == "succeeded"
        await bot.raise_fence(7)
        fake.restart()
        assert (await bot.attempt("hold-1")).outcome == "unknown"


async def test_resume_names_what_it_released() -> None:
    """As it was, so that the timeline tells of a hold that no one here knew."""
    async with commanding(FakeFreqtrade()) as bot:
        await order(bot, "halt", HOLD)
        answer = await order(bot, "resume", {**WHO, "holds": "all"})
        assert isinstance(answer, CommandAnswer)
        assert answer.released is not None
        (released,) = answer.released
    assert (released.id, released.state, released.owner) == ("hold-1", "halted", "anna")


async def test_one_that_is_stopped_is_not_reloaded() -> None:
    """It would come back as its configuration says, which may be running."""
    fake = FakeFreqtrade()
    fake.state = "stopped"
    async with commanding(fake) as bot:
        with pytest.raises(Refused, match="stopped"):
            await order(bot, "reload")
    assert fake.state == "stopped"


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("forceenter", WHO),
        ("halt", {"owner": "anna"}),
        ("reduce", {"reason": "x"}),
        ("resume", WHO),
        ("halt", {**WHO, "id": "x" * 300}),
    ],
)
async def test_what_is_not_understood_is_refused(name: str, params: Mapping[str, str]) -> None:
    """And nothing is done."""
    fake = FakeFreqtrade()
    async with commanding(fake) as bot:
        with pytest.raises(Refused):
            await order(bot, name, params)
    assert not fake.locks
    assert fake.state == "running"


async def test_a_wrong_password_is_a_clear_no() -> None:
    """It is refused, and not unknown."""
    async with commanding(FakeFreqtrade(), password="wrong") as bot:
        with pytest.raises(Refused, match="401"):
            await bot.health()
        with pytest.raises(Refused, match="401"):
            await order(bot, "halt", HOLD)


async def test_no_answer_leaves_it_unknown() -> None:
    """A dead process answers no order."""
    async with aiohttp.ClientSession() as session:
        bot = Freqtrade(Http(session, f"http://127.0.0.1:{unused_port()}"), "freq")
        for name in ("pause", "reload"):
            with pytest.raises(Unreachable):
                await order(bot, name)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"state": "dancing"}', b"[" * 100_000])
async def test_an_answer_of_another_kind_is_none(body: bytes) -> None:
    """Whatever stands at its port."""
    fake = FakeFreqtrade()
    fake.raw["show_config"] = (200, body)
    async with commanding(fake) as bot:
        with pytest.raises(Unreachable, match="show_config"):
            await bot.health()


@pytest.mark.parametrize(
    ("hold_id", "owner"),
    [("a b", "anna"), ("ä/%20 ", "o'brien x"), ("halt-1", "ü" * 100), ("x" * 128, "a" * 500)],
)
def test_a_hold_survives_its_lock(hold_id: str, owner: str) -> None:
    """The id always, and of who and why what fits."""
    text = to_reason("halted", hold_id, owner, "why " * 200)
    assert len(text) <= LONGEST_REASON
    hold = from_reason(7, text, 5.0)
    assert hold is not None
    assert (hold.lock_id, hold.id, hold.state, hold.at) == (7, hold_id, "halted", 5.0)
    assert hold.owner[:3] == owner[:3]


@pytest.mark.parametrize("text", ["", "StoplossGuard", "trading-ops", "trading-ops frozen a b c"])
def test_other_locks_are_not_ours(text: str) -> None:
    """A protection's, an operator's, and one that only looks like ours."""
    assert from_reason(1, text, 0.0) is None


async def test_each_request_of_the_reconciler_is_counted_for_its_bot() -> None:
    """Three for a look, and what an order and its confirmation take."""
    fake = FakeFreqtrade()
    counted: Counter[str] = Counter()
    async with fake.serving() as address, aiohttp.ClientSession() as session:
        freq = Target(name="freq", kind=Kind.FREQTRADE, address=address, venue="binance")
        directory = Directory(
            session,
            Registry((freq,)),
            FixedSecrets(freqtrade=f"{USER}:{PASSWORD}"),
            on_freqtrade_request=lambda name: counted.update([name]),
        )
        await directory.bot(freq).health()
        assert counted == {"freq": 3}
        await order(directory.bot(freq), "halt", HOLD)
        assert counted == {"freq": len(fake.asked)}
