"""Changed rules and runbooks, as a real Prometheus evaluates them and as the audit log has them."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from tests.rules.configuration import RUNBOOKS, lay_out_prometheus
from tests.rules.running_prometheus import start_prometheus
from trading_ops.audit.config_watch import CHANGED, RECORDED, ConfigWatch
from trading_ops.clients.http import Http
from trading_ops.clients.prometheus import Prometheus
from trading_ops.store import events, migrate
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer

Make = Callable[[], ConfigWatch]
KINDS = ("rules", "runbooks")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    migrate.upgrade(url)
    reader = Reader(reading_engine(url))
    yield reader
    reader.close()


@pytest.fixture
def writer(tmp_path: Path, reader: Reader) -> Iterator[Writer]:
    writer = Writer(writing_engine(f"sqlite:///{tmp_path / 'test.db'}"), b"the key")
    writer.start()
    yield writer
    writer.stop()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of Prometheus with the committed rules; the runbooks are beside it."""
    books = tmp_path / "runbooks"
    books.mkdir()
    for path in RUNBOOKS.glob("TradingBot*.md"):
        (books / path.name).write_bytes(path.read_bytes())
    return lay_out_prometheus(tmp_path / "prometheus", {"5m": "5m"})  # copies the rules


@pytest.fixture
async def http(config: Path) -> AsyncIterator[Http]:
    """A client of a running Prometheus."""
    flags = ("--web.enable-lifecycle",)
    async with (
        start_prometheus(config, alertmanagers=1, flags=flags) as address,
        aiohttp.ClientSession() as session,
    ):
        yield Http(session, f"http://{address}")


@pytest.fixture
def make(http: Http, config: Path, writer: Writer, reader: Reader) -> Make:
    """A way to make what a restarted reconciler has."""

    def build() -> ConfigWatch:
        gauge = Gauge("changed", "", ["kind"], registry=CollectorRegistry())
        return ConfigWatch(
            prometheus=Prometheus(http),
            runbooks=config.parents[1] / "runbooks",
            writer=writer,
            reader=reader,
            changed_at=gauge,
        )

    return build


async def recorded(reader: Reader, kind: str) -> list[events.TimelineEvent]:
    return [event for event in await reader.read(events.latest) if event.kind == kind]


async def test_what_changed_is_named_once(
    make: Make, http: Http, config: Path, reader: Reader
) -> None:
    """The first state is recorded without an alert; a restart finds what changed meanwhile.

    A replica that finds the same change records no second event.
    """
    first, replica = make(), make()
    await replica.compare()
    await first.compare()
    await first.compare()
    assert {event.reason for event in await recorded(reader, RECORDED)} == set(KINDS)
    assert await recorded(reader, CHANGED) == []
    assert timestamps(first) == {"rules": 0, "runbooks": 0}

    rules = config.parent / "rules" / "bot.yml"
    text = rules.read_text()
    rules.write_text(text.replace("for: 2s", "for: 2h", 1))
    book = config.parents[1] / "runbooks" / "TradingBotDown.md"
    book.write_text(book.read_text() + "\n")
    (book.parent / "TradingBotStranger.md").write_text("none")
    assert (await http.ask("POST", "/-/reload")).status == 200
    restarted = make()
    await restarted.compare()
    notes = {event.reason: event.note for event in await recorded(reader, CHANGED)}
    assert notes == {
        "rules": "rules: changed trading-bot",
        "runbooks": "runbooks: changed TradingBotDown.md; added TradingBotStranger.md",
    }
    changed = timestamps(restarted)
    assert all(changed.values())
    await replica.compare()
    assert len(await recorded(reader, CHANGED)) == len(KINDS)
    assert timestamps(replica) == changed


def timestamps(watch: ConfigWatch) -> dict[str, float]:
    return {kind: watch.changed_at.labels(kind)._value.get() for kind in KINDS}
