"""The broker's own corners: no nonces, and ccxt with Kraken alone."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.free_ports import free_port
from tests.service.bot.conftest import Venue
from tests.service.botkit.conftest import SYMBOL, sample, until
from trading_ops import clock
from trading_ops.agent import CommandFailed, Side
from trading_ops.botkit.nonces.exclusive import ExclusiveSource
from trading_ops.botkit.nonces.issuer import Nonces, open_nonces
from trading_ops.botkit.orders.order import Order, new_client_id
from trading_ops.botkit.supervisor import Supervisor
from trading_ops.botkit.venue.broker import Broker
from trading_ops.botkit.venue.errors import VenueDown
from trading_ops.botkit.venue.rate_limit import GROUP, RateLimitCounter, Tier
from trading_ops.errors import StoreError
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.brokerage.kraken import Kraken

pytestmark = pytest.mark.processes

NAMES = ("key", "secret")
ORDER = Order(
    client_id=new_client_id("alpha"),
    symbol=SYMBOL,
    side=Side.BUY,
    price=Decimal(100),
    quantity=Decimal("0.01"),
    created_at=clock.timestamp(),
)


async def refuse_to_save(_: int) -> None:
    raise StoreError("the disk is full")


async def test_broker_without_nonces_is_down(metrics: BotMetrics, tmp_path: Path) -> None:
    """Without a nonce that it may use nothing is sent, and the broker says why."""
    nonces = Nonces(ExclusiveSource(tmp_path / "key"), metrics, publish=refuse_to_save)
    broker = Broker(
        metrics,
        make_client=lambda: Kraken(
            address=f"127.0.0.1:{free_port()}",
            key="k",
            secret="cw==",
            timeout_seconds=1,
            issue_nonce=nonces.issue,
        ),
        nonces=nonces,
        probe_interval_seconds=0.05,
    )
    with pytest.raises(CommandFailed, match="starting"):
        await broker.reconnect()
    with pytest.raises(VenueDown, match="closed"):
        await broker.call("OpenOrders", lambda client: client.open_orders())
    with pytest.raises(VenueDown, match="not loaded"):
        _ = broker.client
    supervisor = Supervisor([broker])
    supervisor.start()
    await until(lambda: "the disk is full" in broker.detail)
    assert not broker.up
    await until(lambda: not broker.breaker.closed)
    with pytest.raises(VenueDown, match="the disk is full"):
        await broker.call("OpenOrders", lambda client: client.open_orders())
    await supervisor.stop()


def broker_of(
    metrics: BotMetrics, venue: Venue, folder: Path, **given: Any
) -> tuple[Broker, Nonces]:
    """Return a broker on the venue, and the nonces that it is not the owner of."""
    key, secret = ((folder / "secrets" / f"venue_{name}").read_text() for name in NAMES)
    nonces = open_nonces(folder / "nonces", key, metrics)

    def client() -> Kraken:
        return Kraken(
            address=venue.address,
            key=key,
            secret=secret,
            timeout_seconds=5,
            issue_nonce=nonces.issue,
        )

    return Broker(metrics, make_client=client, nonces=nonces, **given), nonces


@pytest.mark.parametrize("endpoint", ["AddOrder", "OpenOrders"])
async def test_unclear_answers_take_the_broker_down_only_when_probes_get_them(
    metrics: BotMetrics, venue: Venue, tmp_path: Path, endpoint: str
) -> None:
    """A venue that stumbles over orders still answers; one that stumbles over all is down."""
    broker, nonces = broker_of(
        metrics,
        venue,
        tmp_path,
        probe_interval_seconds=0.2 if endpoint == "OpenOrders" else 3600,
    )
    supervisor = Supervisor([broker])
    supervisor.start()
    await until(lambda: broker.up)
    methods = [endpoint] if endpoint == "AddOrder" else ["private"]
    await venue.break_("lost_answer", instead="EService:Timeout", methods=methods)
    if endpoint == "AddOrder":
        for _ in range(5):
            with pytest.raises(VenueDown, match=r"AddOrder: other: .*EService:Timeout"):
                await broker.call("AddOrder", lambda client: client.submit(ORDER))
        assert broker.up
        assert broker.breaker.closed
    else:
        await until(lambda: not broker.up)
        await venue.clear_faults()
        await until(lambda: broker.up)
    await supervisor.stop()
    nonces.close()


async def test_a_venue_that_says_too_often_is_believed(
    metrics: BotMetrics, venue: Venue, tmp_path: Path
) -> None:
    """By the bot's own count nothing was used yet; others may use the key."""
    broker, nonces = broker_of(
        metrics,
        venue,
        tmp_path,
        probe_interval_seconds=3600,
        rate_limit=RateLimitCounter(metrics, Tier.PRO),
    )
    supervisor = Supervisor([broker])
    supervisor.start()
    await until(lambda: broker.up)
    assert sample(metrics, "trading_venue_rate_limit_used_ratio", group=GROUP) < 0.5
    await venue.break_("api_error", error="EAPI:Rate limit exceeded", methods=["OpenOrders"])
    with pytest.raises(VenueDown, match="rate_limited"):
        await broker.call("OpenOrders", lambda client: client.open_orders())
    used = sample(metrics, "trading_venue_rate_limit_used_ratio", group=GROUP)
    assert used == pytest.approx(1, abs=0.01)  # it has started to sink
    await supervisor.stop()
    nonces.close()


IMPORTS = """
import sys
from trading_ops_lab.paper.bot.brokerage.ccxt_kraken import kraken_class
lean = kraken_class()
assert "ccxt.binance" not in sys.modules
import ccxt.async_support
assert ccxt.async_support.kraken is lean
assert issubclass(ccxt.InvalidNonce, ccxt.NetworkError)
assert kraken_class() is lean
"""

BROKEN = """
import sys
from importlib.abc import MetaPathFinder

class Refuser(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "ccxt.base.errors" and "ccxt.base.exchange" not in sys.modules:
            sys.meta_path.remove(self)
            raise ImportError("another version")

sys.meta_path.insert(0, Refuser())
from trading_ops_lab.paper.bot.brokerage.ccxt_kraken import kraken_class
assert kraken_class().__name__ == "kraken"
assert "ccxt.binance" in sys.modules
"""


@pytest.mark.parametrize("code", [IMPORTS, BROKEN], ids=["lean", "fallen back"])
def test_lean_import_leaves_ccxt_whole(code: str) -> None:
    """Only Kraken is imported at first, the rest stays available, and a surprise is survived."""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
