"""A scrape gets valid bytes: everything, the vital few, or everything but those."""

import asyncio
import re
import subprocess
import sys
import threading

import prometheus_client as peer
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from trading_ops.instrument import BotMetrics, Exposition, Metric, MetricType, Owner, View, find
from trading_ops.instrument.block import Block
from trading_ops.instrument.lines import Single
from trading_ops.instrument.recorder import counters

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"

THINGS = Metric(
    name="things_total",
    kind=MetricType.COUNTER,
    owner=Owner.BOT,
    labels=("code",),
    help="A.",
    why="B.",
)


@pytest.fixture
def exposition() -> Exposition:
    metrics = BotMetrics(
        version="1",
        mode="paper",
        symbols=["BTC/USD", "ETH/USD"],
        currencies=["USD", "BTC"],
        endpoints=["Balance", "AddOrder"],
    )
    metrics.tick("BTC/USD", at=5.0, latency_seconds=0.1)
    metrics.balance("USD", 1.0)
    metrics.equity("USD", 1.0)
    return Exposition(metrics.registry)


def families_of(body: bytes) -> set[str]:
    return {family.name for family in text_string_to_metric_families(body.decode())}


def test_promtool_finds_nothing_to_say(exposition: Exposition) -> None:
    """The exposition passes Prometheus' own linter."""
    body, _ = exposition.everything()
    check = subprocess.run(
        ["promtool", "check", "metrics"], input=body, capture_output=True, check=False, timeout=30
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


def test_vital_and_the_rest_are_the_whole(exposition: Exposition) -> None:
    """No family is in both scrapes, and none is in neither."""
    everything = families_of(exposition.everything()[0])
    vital = families_of(exposition.vital()[0])
    rest = families_of(exposition.without_vital()[0])
    assert vital | rest == everything
    assert not vital & rest
    assert "trading_bot_heartbeat_timestamp_seconds" in vital
    assert "trading_nonces_refused" in vital
    assert "process_resident_memory_bytes" in rest


def test_vital_is_small_and_declared(exposition: Exposition) -> None:
    """The scrape of every second carries about twenty series, all marked in the catalogue."""
    text = exposition.vital()[0].decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    assert 15 <= len(samples) <= 25
    for sample in samples:
        metric = find(sample.name)
        assert metric is not None
        assert metric.vital


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
@pytest.mark.parametrize("view", View)
def test_no_created_series(view: View, accept: str) -> None:
    """Neither our counters and histograms carry one, nor an author's own in the same registry."""
    metrics = BotMetrics(CollectorRegistry(), version="1", mode="paper")
    peer.Counter("mine", "Of the author's own.", registry=metrics.registry).inc()
    peer.Histogram("mine_seconds", "Of the author's own.", registry=metrics.registry).observe(1)
    body, _ = getattr(Exposition(metrics.registry), view)(accept)
    assert b"_created" not in body
    assert (b"mine_total 1.0" in body) is (view is not View.VITAL)


def test_the_import_leaves_the_metrics_of_the_program_as_they_are() -> None:
    """A bot's own counters keep what prometheus_client gives them."""
    program = (
        "import trading_ops.instrument\n"
        "from prometheus_client import CollectorRegistry, Counter\n"
        "registry = CollectorRegistry()\n"
        "Counter('mine', 'help', registry=registry)\n"
        "print([s.name for f in registry.collect() for s in f.samples])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "['mine_total', 'mine_created']"


def test_a_block_that_is_still_empty_is_no_line() -> None:
    """A thread may scrape between the birth of a block and that of its first child."""
    assert Block(Single(THINGS)).text(exemplars=False) == b""


@pytest.mark.parametrize("view", ["everything", "vital", "without_vital"])
def test_format_follows_the_accept_header(exposition: Exposition, view: str) -> None:
    """A scraper that asks for OpenMetrics gets it, any other gets the text format."""
    body, content_type = getattr(exposition, view)("*/*")
    assert content_type.startswith("text/plain; version=0.0.4")
    assert families_of(body)
    body, content_type = getattr(exposition, view)(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    assert list(parse_openmetrics(body.decode()))  # type: ignore[no-untyped-call]  # no hint there


def test_two_scrapes_are_alike(exposition: Exposition) -> None:
    """Nothing happened in between, so the vital bytes are the same."""
    assert exposition.vital() == exposition.vital()


async def test_a_sliced_scrape_is_the_same_and_lets_others_work() -> None:
    """In slices the bytes are the same, and the loop comes round in between."""
    metrics = BotMetrics(
        CollectorRegistry(), version="1", mode="paper", symbols=[f"S{n}/USD" for n in range(500)]
    )
    exposition = Exposition(metrics.registry, slice_seconds=0.0)
    rounds = 0

    async def count() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    for view in View:
        rounds = 0
        assert await exposition.sliced(view) == getattr(exposition, view)()
        assert rounds > 1
    counting.cancel()


async def test_a_small_scrape_is_done_at_once(exposition: Exposition) -> None:
    """What takes less than a slice is written without a pause, for either format."""
    for view in View:
        body, content_type = await exposition.sliced(view, OPENMETRICS)
        assert body.endswith(b"# EOF\n")
        assert content_type.startswith("application/openmetrics-text")


def test_orders_are_exemplars_where_the_format_has_them() -> None:
    """An order's id leads from a slow bucket to the order; the text format has no place for it."""
    metrics = BotMetrics(CollectorRegistry(), version="1", mode="paper")
    metrics.order_acknowledged(0.3, order_id='A-"1"')
    metrics.order_ended("filled", order_id="A-1")
    metrics.order_denied("stopping", order_id="x" * 129)
    exposition = Exposition(metrics.registry)
    families = parse_openmetrics(exposition.everything(OPENMETRICS)[0].decode())  # type: ignore[no-untyped-call]  # no hint there
    found = {
        (sample.name, sample.labels.get("le")): sample.exemplar
        for family in families
        for sample in family.samples
        if sample.exemplar
    }
    slow = found["trading_order_duration_seconds_bucket", "0.5"]
    assert (slow.labels, slow.value) == ({"order_id": 'A-"1"'}, 0.3)
    assert found["trading_orders_total", None].labels == {"order_id": "A-1"}
    assert len(found) == 2
    assert b"order_id" not in exposition.everything()[0]


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_what_is_recorded_after_quiet_scrapes_shows(accept: str) -> None:
    """Also where neither the sum nor the value is another number than before."""
    metrics = BotMetrics(CollectorRegistry(), version="1", mode="paper", currencies=["USD"])
    exposition = Exposition(metrics.registry)
    metrics.balance("USD", 0.0)
    metrics.order_acknowledged(0.0)
    for _ in range(3):
        body = exposition.everything(accept)[0]
    assert b'trading_balance{currency="USD"} 0.0\n' in body
    metrics.balance("USD", -0.0)
    metrics.order_acknowledged(0.0, order_id="A-2")
    body = exposition.everything(accept)[0]
    assert b'trading_balance{currency="USD"} -0.0\n' in body
    assert b"trading_order_duration_seconds_count 2\n" in body
    assert (b'order_id="A-2"' in body) is (accept != "")


def test_series_may_be_born_while_a_scrape_is_written() -> None:
    """A scrape in another thread sees whole lines, and at least what was recorded before it."""
    family = counters(THINGS, limit=3000)
    registry = CollectorRegistry()
    registry.register(family)
    exposition = Exposition(registry)
    begun = threading.Event()

    def bear() -> None:
        for number in range(3000):
            family.labels(f"c{number}").inc()
            begun.set()

    thread = threading.Thread(target=bear)
    thread.start()
    begun.wait()
    seen = 0
    while thread.is_alive():
        lines = exposition.everything()[0].decode().splitlines()[2:]
        assert all(re.fullmatch(r'things_total\{code="c\d+"\} [01]', line) for line in lines)
        assert len(lines) >= max(1, seen)
        seen = len(lines)
    assert len(exposition.everything()[0].splitlines()) == 3002
