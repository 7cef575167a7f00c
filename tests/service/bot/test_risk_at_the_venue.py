"""Risk on the real venue: a price that jumps, a bot that dies, a mode that is switched."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.free_ports import free_port
from tests.service.bot.conftest import SYMBOLS, Control, Venue
from tests.service.botkit.conftest import sample, stays, until
from tests.waiting import eventually
from trading_ops.agent import TradingHold, TradingState
from trading_ops.botkit.records.events import EventLogKind, latest_events
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import load_config

pytestmark = pytest.mark.long

Spawn = Callable[[], subprocess.Popen[bytes]]

LOSS = {"daily_loss": "0.2", "total_drawdown": "3", "daily_loss_state": "halted", "orders": 1000}
RELEASE = {"owner": "ada", "reason": "I have looked"}
HALT = TradingHold(id="by-hand", state=TradingState.HALTED, owner="ada", reason="a test", at=0.0)
TARGETS = """\
version: 1
targets:
  - {{name: paper, kind: venue, address: "{venue}"}}
  - {{name: alpha, kind: bot, address: "{agent}", venue: paper}}
  - {{name: reconciler, kind: reconciler, address: "127.0.0.1:{free[0]}"}}
  - {{name: supervisor, kind: supervisor, address: "127.0.0.1:{free[1]}"}}
  - {{name: prometheus, kind: prometheus, address: "127.0.0.1:{free[2]}"}}
  - {{name: alertmanager, kind: alertmanager, address: "127.0.0.1:{free[3]}"}}
  - {{name: oncall-mailbox, kind: mail, address: "127.0.0.1:{free[4]}"}}
"""


def change(config_file: Path, **changes: Any) -> None:
    config_file.write_text(json.dumps(json.loads(config_file.read_text()) | changes))


@asynccontextmanager
async def trading(config_file: Path) -> AsyncIterator[Bot]:
    """One life of the bot in this process, recovered."""
    bot = Bot(load_config(config_file))
    await bot.start()
    try:
        await until(lambda: bot.heartbeat.beat_at, within=20)
        yield bot
    finally:
        await bot.stop()


def held(bot: Bot) -> list[str]:
    """Return the symbols of which more is held than the venue's smallest order."""
    least = {name: bot.broker.client.rules(name).minimum for name in SYMBOLS}
    return [name for name in SYMBOLS if bot.book.position(name).quantity >= least[name]]


def hold_ids(bot: Bot) -> set[str]:
    return {hold.id for hold in bot.agent.holds.holds}


async def crash_prices(venue: Venue, percent: float) -> None:
    for pair in SYMBOLS:
        await venue.break_("price_jump", pair=pair, percent=percent)


def stops(venue: Venue, after: int = 0) -> list[dict[str, Any]]:
    return [order for order in venue.journal("order_added", after) if order["type"] == "stop-loss"]


async def test_daily_loss_halts_until_a_person_resumes(
    venue: Venue, config_file: Path, control: Control
) -> None:
    """The price falls, the bot is halted, a restart changes nothing, an operator's word does."""
    change(config_file, risk=LOSS, protection="none")
    async with trading(config_file) as bot:
        await until(lambda: held(bot), within=60)
        await crash_prices(venue, -30)
        await until(lambda: "risk-daily_loss" in hold_ids(bot))
        health = await control.get("/health")
        assert health["state"] == "halted"
        assert [hold["owner"] for hold in health["holds"]] == ["risk"]
        assert sample(bot.metrics, "trading_daily_loss", currency="USD") >= 0.2
        assert sample(bot.metrics, "trading_state", state="halted") == 1
        await control.command("cancel_orders")
        quiet_from = venue.last_seq()
    async with trading(config_file) as bot:
        assert "risk-daily_loss" in hold_ids(bot)
        await until(lambda: sample(bot.metrics, "trading_daily_loss", currency="USD") >= 0.2)
        await until(
            lambda: sample(bot.metrics, "trading_order_denials_total", code="trading_halted") > 0,
            within=60,
        )
        assert venue.journal("order_added", after=quiet_from) == []
        answer = await control.command("resume", holds="risk-daily_loss", **RELEASE)
        assert answer["outcome"] == "succeeded", answer
        await until(lambda: venue.journal("order_added", after=quiet_from), within=60)
        assert "risk-daily_loss" not in hold_ids(bot)

        async def loss_is_exported() -> bool:
            events = await bot.store.transact(
                lambda session: latest_events(session, kind=EventLogKind.RISK, number=10)
            )
            return {"breach", "accepted"} <= {event.code for event in events}

        await eventually(loss_is_exported)


async def test_reducing_lets_the_way_out_open(venue: Venue, config_file: Path) -> None:
    """The default for a daily loss: positions are sold, and nothing new is bought."""
    change(
        config_file, risk=LOSS | {"daily_loss_state": "reducing"}, protection="none", fast_samples=1
    )
    async with trading(config_file) as bot:
        await until(lambda: held(bot), within=60)
        await crash_prices(venue, -30)
        await until(lambda: "risk-daily_loss" in hold_ids(bot))
        await until(lambda: not bot.book.open_orders() and not held(bot), within=60)
        before = venue.last_seq()
        await until(
            lambda: sample(bot.metrics, "trading_order_denials_total", code="trading_reducing") > 0,
            within=60,
        )
        buys = [order for order in venue.journal("order_added", before) if order["side"] == "buy"]
        assert buys == []


async def test_a_silent_feed_ends_new_risk(venue: Venue, config_file: Path) -> None:
    """The looks continue, and say that what is held cannot be valued."""
    change(config_file, protection="none")
    async with trading(config_file) as bot:
        await until(lambda: held(bot), within=60)
        bot.agent.holds.place(HALT)  # so that it is still held when the prices are old
        await venue.break_("stale_feed")
        await until(lambda: bot.risk.unknown_reason() is not None)
        assert "cannot be valued" in (bot.risk.unknown_reason() or "")
        looked = bot.risk.last_success_at
        await until(lambda: bot.risk.last_success_at != looked)
        assert bot.risk.up


async def test_stop_comes_back_after_the_switch_has_taken_it(
    venue: Venue, config_file: Path, spawn: Spawn
) -> None:
    """The dead man's switch cancels a killed bot's stop; the restarted bot places it again."""
    change(config_file, protection="stop_loss")
    process = spawn()
    await until(
        lambda: stops(venue) and stops(venue)[-1]["order"] in venue.open_orders(), within=60
    )
    (stop,) = stops(venue)[-1:]
    assert stop["side"] == "sell"
    process.kill()
    process.wait()
    killed_at = venue.last_seq()
    await until(lambda: venue.journal("dead_man_fired", after=killed_at), within=15)
    assert venue.open_orders() == set()
    gone_at = venue.last_seq()
    spawn()
    await until(lambda: stops(venue, gone_at), within=30)
    # Of the position that was naked, the first that is sent covers it or, if that is due, sells it.
    added = venue.journal("order_added", after=gone_at)
    first = next((order for order in added if order["symbol"] == stop["symbol"]), None)
    assert first is None or first["side"] == "sell"


async def test_stop_stays_when_the_bot_is_stopped_and_sells_when_the_price_falls(
    venue: Venue, config_file: Path
) -> None:
    """An ordered end puts the switch away, so that the stop covers the position meanwhile."""
    change(config_file, protection="stop_loss")
    async with trading(config_file) as bot:

        def covered() -> list[str]:
            return [name for name in held(bot) if _stop_of(bot, name) is not None]

        await until(covered, within=60)
        bot.agent.holds.place(HALT)
        await until(lambda: covered() or not held(bot))
        # A halted bot cannot exit, so its strategy must not take the stop away for that.
        await until(
            lambda: sample(bot.metrics, "trading_order_denials_total", code="trading_halted") > 2,
            within=60,
        )
        assert covered()
        assert not any(code.startswith("recovery") for code in hold_ids(bot))
    left = venue.open_orders()
    kept = [stop for stop in stops(venue) if stop["order"] in left]
    if not kept:
        pytest.fail("the stop went with the bot")
    assert venue.journal("dead_man_disarmed")
    await crash_prices(venue, -30)
    await until(lambda: {order["order"] for order in kept}.isdisjoint(venue.open_orders()))
    sold = {order["order"] for order in venue.journal("order_filled")}
    assert {order["order"] for order in kept} <= sold
    async with trading(config_file) as bot:
        await until(lambda: bot.reconciliation.recovered)
        assert hold_ids(bot) == {HALT.id}


def _stop_of(bot: Bot, symbol: str) -> str | None:
    found = [order for order in bot.book.open_orders(symbol) if order.stop_price is not None]
    return found[0].venue_id if found else None


async def test_paper_sends_nothing_and_only_a_person_goes_back(
    venue: Venue, config_file: Path, control: Control
) -> None:
    """Without a restart, over one, and neither by a machine nor without a confirmation."""
    change(config_file, protection="none")
    who = {"owner": "reconciler", "reason": "a drill"}
    async with trading(config_file) as bot:
        await until(venue.open_orders, within=40)
        answer = await control.command("go_paper", **who)
        assert answer["outcome"] == "succeeded", answer
        assert "stays open" in answer["detail"]
        assert venue.open_orders() == set()
        before = venue.last_seq()
        await until(
            lambda: sample(bot.metrics, "trading_order_denials_total", code="paper_mode") > 0,
            within=60,
        )
        assert venue.journal("order_added", after=before) == []
        assert info(bot) == {"live": 0, "paper": 1}
    async with trading(config_file) as bot:
        assert bot.mode.paper
        for wrong in (who | {"confirm": "alpha"}, RELEASE | {"confirm": "yes"}):
            answer = await control.command("go_live", **wrong)
            assert answer["outcome"] == "failed", answer
        assert bot.mode.paper
        await stays(lambda: venue.journal("order_added", after=before) == [], during=2)
        answer = await control.command("go_live", **RELEASE, confirm="alpha")
        assert answer["outcome"] == "succeeded", answer
        await until(lambda: venue.journal("order_added", after=before), within=60)
        assert info(bot)["live"] == 1


async def test_a_configured_paper_bot_never_goes_live(
    venue: Venue, config_file: Path, control: Control
) -> None:
    """The more cautious of the configuration and the last word wins."""
    change(config_file, mode="paper")
    async with trading(config_file) as bot:
        answer = await control.command("go_live", **RELEASE, confirm="alpha")
        assert answer["outcome"] == "failed"
        assert "the configured mode is paper" in answer["detail"]
        assert bot.mode.paper
        assert venue.journal("order_added") == []


async def test_paper_is_in_force_while_venue_and_records_are_away(
    venue: Venue, config_file: Path, control: Control
) -> None:
    """It says what the records lack, nothing is sent meanwhile, and a restart does not forget."""
    change(config_file, protection="none")
    async with trading(config_file) as bot:
        await until(venue.open_orders, within=40)
        await venue.break_("refuse")
        await bot.supervisor.stop("store")
        answer = await control.command("go_paper", **RELEASE)
        assert answer["outcome"] == "failed"
        assert "over a restart too, but it is not in the records" in answer["detail"]
        assert bot.mode.paper
    await venue.clear_faults()
    async with trading(config_file) as bot:
        assert bot.mode.paper


def info(bot: Bot) -> dict[str, float]:
    text = bot.metrics.registry.collect()
    return {
        sample.labels["mode"]: sample.value
        for family in text
        for sample in family.samples
        if sample.name == "trading_bot_info"
    }


@pytest.mark.parametrize("command", [["halt", "alpha"], ["halt", "--all"]], ids=" ".join)
async def test_halting_works_while_the_reconciler_is_down(
    command: list[str],
    venue: Venue,
    config_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ordering the bot directly; the risk component adds nothing and releases nothing."""
    agent = load_config(config_file).agent_address
    free = [free_port() for _ in range(5)]
    (tmp_path / "targets.yml").write_text(
        TARGETS.format(venue=venue.address, agent=agent, free=free)
    )
    secrets = tmp_path / "var" / "secrets"
    secrets.mkdir(parents=True)
    for name in ("supervisor", "webhook", "operator"):
        (secrets / f"{name}_token").write_text(name)
    for name in ("agent_token", "metrics_token"):
        (secrets / name).write_text((tmp_path / "secrets" / name).read_text())
    monkeypatch.setenv("TRADING_OPS_ROOT", str(tmp_path))
    async with trading(config_file) as bot:
        line = [*command, "--reason", "odd fills", "--owner", "ada"]
        assert await asyncio.to_thread(run, line) == ExitCode.OK
        assert bot.agent.holds.state.value == "halted"
        looked = bot.risk.last_success_at
        await until(lambda: bot.risk.last_success_at != looked)
        assert [hold.owner for hold in bot.agent.holds.holds] == ["ada"]


async def test_four_dollars_are_tradable(venue: Venue, config_file: Path) -> None:
    """The default size of an entry is above the venue's smallest order, and so is the limit."""
    async with trading(config_file) as bot:
        config = load_config(config_file)
        for symbol in SYMBOLS:
            quote = bot.feed.quotes[symbol]
            least = bot.broker.client.rules(symbol).minimum * quote.ask
            assert least < config.order_notional <= config.risk.position_size
        assert config.order_notional <= Decimal(5)
        assert venue.journal("order_rejected") == []
