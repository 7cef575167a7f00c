"""Nonces of whole bots at the venue: refused ones, shared keys, and what an older release left."""

import asyncio
import json
import sys
from pathlib import Path

import msgspec
import pytest

from tests.free_ports import free_port
from tests.service.bot.conftest import Control, Venue
from tests.service.botkit.conftest import sample, until
from trading_ops import clock
from trading_ops.botkit.nonces.issuer import RESYNC_JUMP, Sharing
from trading_ops.botkit.venue.errors import VenueDown
from trading_ops.botkit.venue.history import START
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import BotConfig, read_secret

pytestmark = pytest.mark.slow

AHEAD = 10**12
ENOUGH = 60
"""Signed requests of each bot that shares a key."""


def sibling(config: BotConfig) -> BotConfig:
    """Return the configuration of another bot with the same key."""
    return msgspec.structs.replace(
        config,
        name="beta",
        state_dir=config.state_dir.parent / "other",
        agent_address=f"127.0.0.1:{free_port()}",
    )


def counted(bot: Bot) -> tuple[float, float]:
    """Return how many nonces were refused, and how often that was remediated."""
    names = ("trading_nonces_refused_total", "trading_nonce_resyncs_total")
    return sample(bot.metrics, names[0]), sample(bot.metrics, names[1])


def issued(bot: Bot) -> float:
    """Return how many nonces were issued."""
    return sample(bot.metrics, "trading_nonces_issued_total")


@pytest.mark.parametrize("times", [1, 2])
async def test_a_request_recovers_itself_once(bot: Bot, venue: Venue, times: int) -> None:
    """Refused once it succeeds; refused again it fails, and is not sent a third time."""
    await until(lambda: bot.reconciliation.recovered)  # which asks for the history itself
    await venue.break_("nonce", methods=["TradesHistory"], count=times)
    since = clock.timestamp()
    request = bot.broker.call("TradesHistory", lambda client: client.history(since, START))
    if times == 1:
        await request
    else:
        with pytest.raises(VenueDown, match="invalid_nonce"):
            await request
    assert len(venue.journal("private_refused")) == times
    assert counted(bot) == (times, 1)
    await bot.broker.call("TradesHistory", lambda client: client.history(since, START))
    assert counted(bot) == (times, 1)


async def test_a_resync_moves_the_nonces_on(bot: Bot, venue: Venue, control: Control) -> None:
    """On command, at once, and the answer says from which nonce on."""
    before = bot.nonces.issue()
    reply = await control.command("resync_nonce")
    assert reply["outcome"] == "succeeded", reply
    above = int(reply["detail"].rpartition(" ")[2])
    assert before + RESYNC_JUMP < above < bot.nonces.issue()
    assert counted(bot) == (0, 1)
    await bot.broker.call("OpenOrders", lambda client: client.open_orders())
    assert venue.journal("private_refused") == []


async def test_what_an_older_release_reserved_is_a_floor(config: BotConfig) -> None:
    """It kept its ceiling in the records, where it stays for that release."""
    bot = Bot(config)
    key, floor = read_secret(config.key_file), int(clock.timestamp() * 1e6) + AHEAD
    await bot.store.save_nonce_ceiling(key, floor)
    await bot.start()
    try:
        assert floor < bot.nonces.issue() < bot.nonces.reserved
        assert await bot.store.nonce_ceiling(key) == floor
    finally:
        await bot.stop()


@pytest.fixture
def other_file(config_file: Path) -> Path:
    """The configuration of another bot with the same key."""
    other = config_file.with_name("other.json")
    changes = {
        "state_dir": str(config_file.parent / "other"),
        "agent_address": f"127.0.0.1:{free_port()}",
    }
    other.write_text(json.dumps(json.loads(config_file.read_text()) | changes))
    return other


async def test_a_second_bot_of_a_key_ends_with_a_sentence(
    bot: Bot, other_file: Path, venue: Venue
) -> None:
    """The first one trades on."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trading_ops_lab.paper.bot", "--config", str(other_file)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode == 1
    (sentence,) = [line for line in stderr.decode().splitlines() if "Fix" in line]
    assert "owns or shares the nonces of this key. Fix: stop it" in sentence
    assert "Traceback" not in stderr.decode()
    await bot.broker.call("OpenOrders", lambda client: client.open_orders())
    assert venue.journal("private_refused") == []


async def test_bots_that_share_a_key_keep_the_order(config: BotConfig, venue: Venue) -> None:
    """No nonce of theirs is refused, though some requests take long and could be overtaken."""
    await venue.break_("slow", methods=["BalanceEx"], delay_seconds=0.05)
    shared = msgspec.structs.replace(
        config, nonces=Sharing.SHARED, probe_interval_seconds=0.01, pass_interval_seconds=0.05
    )
    bots = [Bot(shared), Bot(sibling(shared))]
    for bot in bots:
        await bot.start()
    try:
        await until(lambda: all(issued(bot) >= ENOUGH for bot in bots), within=40)
    finally:
        for bot in bots:
            await bot.stop()
    assert [counted(bot) for bot in bots] == [(0, 0), (0, 0)]
    assert venue.journal("private_refused") == []
