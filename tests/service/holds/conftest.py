"""HoldManager as built in production, on a real database, beside a real agent."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from tests.builders import FixedSecrets, make_registry
from tests.service.holds.bots import Manager, RealAgent
from trading_ops.clients.directory import Directory
from trading_ops.domain.target import Registry, Target
from trading_ops.holds import memory as hold_store
from trading_ops.holds.holds import HoldManager
from trading_ops.store import events, holds
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.journal import Journal
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer


@dataclass
class Desk:
    """All that a test of holds has."""

    holding: HoldManager
    target: Target
    registry: Registry
    directory: Directory
    writer: Writer
    reader: Reader
    journal: Journal
    url: str
    again: Callable[..., HoldManager]
    """Build another one on the same files, as after a restart."""

    reapplied: list[str]
    """The bots at which an operator's hold was released and placed again."""

    async def active_holds(self) -> dict[str, str]:
        found = await self.reader.read(holds.active)
        return {hold.id: hold.state.value for hold in found}

    async def kinds(self) -> list[str]:
        return [event.kind for event in await self.reader.read(lambda c: events.since(c, 0))]

    def break_database(self) -> None:
        """Have every statement about holds fail."""
        self._execute("ALTER TABLE holds RENAME TO holds_away")

    def repair_database(self) -> None:
        self._execute("ALTER TABLE holds_away RENAME TO holds")

    def _execute(self, statement: str) -> None:
        self.writer.submit(lambda connection: connection.exec_driver_sql(statement)).result(5)


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[RealAgent]:
    folder = tmp_path / "bot"
    folder.mkdir()
    bot = RealAgent(folder)
    bot.start()
    yield bot
    await bot.catch_up()
    bot.stop()


@pytest.fixture
async def manager(bot: RealAgent) -> AsyncIterator[tuple[Manager, str]]:
    manager = Manager(bot)
    async with TestServer(manager.application(), host="127.0.0.1") as server:
        yield manager, f"127.0.0.1:{server.port}"


@pytest.fixture
def writer(sqlite_url: str) -> Iterator[Writer]:
    writer = Writer(writing_engine(sqlite_url))
    writer.start()
    yield writer
    writer.stop()


@pytest.fixture
def timeouts(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the seconds that the database gets to store a hold: many, as the disk may be busy."""

    def timeouts(seconds: float) -> None:
        monkeypatch.setattr(hold_store, "STORE_SECONDS", seconds)

    timeouts(30)
    return timeouts


@pytest.fixture
async def desk(
    timeouts: Callable[[float], None],
    tmp_path: Path,
    writer: Writer,
    bot: RealAgent,
    manager: tuple[Manager, str],
) -> AsyncIterator[Desk]:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    reader = Reader(reading_engine(url))
    registry = make_registry(alpha=bot.address, supervisor=manager[1])
    target = registry.find("alpha")
    assert target is not None
    made: list[HoldManager] = []
    async with aiohttp.ClientSession() as session:
        directory = Directory(session, registry, FixedSecrets("agent"))

        reapplied: list[str] = []

        def build(*, release_at_bot: bool = False) -> HoldManager:
            holding = HoldManager(
                writer=writer,
                reader=reader,
                directory=directory,
                registry=registry,
                journal=Journal(tmp_path / "var" / "journal"),
                release_at_bot=release_at_bot,
                on_reapplied=reapplied.append,
            )
            made.append(holding)
            return holding

        yield Desk(
            holding=build(),
            target=target,
            registry=registry,
            directory=directory,
            writer=writer,
            reader=reader,
            journal=Journal(tmp_path / "var" / "journal"),
            url=url,
            again=build,
            reapplied=reapplied,
        )
    for holding in made:
        holding.close()
    reader.close()
