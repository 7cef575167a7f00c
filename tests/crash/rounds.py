"""One round: a new database, many deaths under load, then calm, and then everything is checked."""

import asyncio
import contextlib
import json
import secrets
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from tests.crash.checks import Found, check_all, still_open, unsettled
from tests.crash.fork_server import ForkedProcess, Server, traced
from tests.crash.kill_points import Candidate, Chooser
from tests.crash.load import Load, runbook_texts
from tests.crash.services import CALM, WILD, World
from tests.free_ports import free_port
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.store.engine import reading_engine

LIFE_SECONDS, MAX_LIFE_SECONDS = 5.0, 30.0
"""A run that does not come to its end by then is ended from outside."""

POLL_SECONDS = "0.2"
FULL_DISK_SECONDS = 1.0
NOWHERE = Candidate(place="", nth=0)
TOKENS = ("agent", "supervisor", "webhook", "metrics", "operator")


@dataclass
class Round:
    """One round's own things, and what came of it."""

    folder: Path
    world: World
    chooser: Chooser
    seed: int
    database_url: str | None = None
    """None: SQLite in the round's folder."""

    plant: str | None = None
    settle_seconds: float = 60.0
    """When the faults have stopped, everything is closed or with a person after so long.

    An alert known only from a notification closes after 30 s (`NEVER_SHOWN`)."""

    lease: float | None = None
    """In seconds; None: as in production."""

    found: Found = field(default_factory=Found)
    settled_after: float = 0.0

    @property
    def url(self) -> str:
        """The database's URL, as the reconciler builds it."""
        return self.database_url or f"sqlite:///{self.folder / 'var/reconciler/reconciler.db'}"

    def prepare(self) -> None:
        """Create a new installation."""
        self.audit_key = secrets.token_hex(16)
        self.port = free_port()
        lay_out(self.folder, self.world, self.port, self.audit_key)
        self.world.begin(self.folder)

    def environ(self) -> dict[str, str]:
        """Return the environment of a run: what the reconciler's settings are read from."""
        environ = {
            "TRADING_OPS_VAR": str(self.folder / "var"),
            "TRADING_OPS_POLL_INTERVAL_SECONDS": POLL_SECONDS,
            "TRADING_OPS_UNCONFIRMED_INCIDENTS": "1000000000",
        }
        if self.database_url is not None:
            environ["TRADING_OPS_DATABASE"] = self.database_url
        return environ

    async def run(self, server: Server, kills: int, *, full_disk: bool = False) -> None:
        """Die so often, settle, check."""
        self.prepare()
        load = Load(
            world=self.world,
            urls=[f"http://127.0.0.1:{self.port}"],
            token="webhook",
            seed=self.seed,
        )
        async with load.running(senders=3, pause=0.03):
            self.world.faults = WILD
            for _ in range(kills):
                await self._die_once(server)
                if self.chooser.is_done:
                    break
            if full_disk:
                await self._fill_the_disk(server, load)
            self.world.faults = CALM
            process = await self._begin(server, NOWHERE)
            try:
                await self._settle(load)
            finally:
                await process.end(signal.SIGTERM)
        self._check(load)

    async def _begin(self, server: Server, choice: Candidate) -> ForkedProcess:
        process: dict[str, Any] = {
            "folder": str(self.folder),
            "environ": self.environ(),
            "plant": self.plant,
            "lease": self.lease,
            "traced": bool(choice.place) and not choice.is_failpoint,
        }
        if choice.is_failpoint:
            process |= {"failpoint": choice.place, "nth": choice.nth}
        return await server.begin(process)

    async def _die_once(self, server: Server) -> None:
        choice = self.chooser.next()
        process = await self._begin(server, choice)
        async with contextlib.AsyncExitStack() as stack:
            if choice.place and not choice.is_failpoint:
                rule = f"{choice.place}:signal=SIGKILL:when={choice.nth}"
                await stack.enter_async_context(traced(process.pid, rule))
            # A place that was missed before gets more time.
            life = LIFE_SECONDS * (1 + self.chooser.misses[choice.place])
            done, _ = await asyncio.wait({process.ended}, timeout=min(life, MAX_LIFE_SECONDS))
            code = await process.end() if not done else process.ended.result()
        if done and code != -signal.SIGKILL:
            self.found.stuck.append(f"a reconciler exited unexpectedly with {code}, see its log")
        self.chooser.ended(choice, there=bool(done))

    async def _fill_the_disk(self, server: Server, load: Load) -> None:
        """No write succeeds for a while: 503 until writes succeed again, without a restart."""
        process = await self._begin(server, NOWHERE)
        await self._more(load, process)
        refused = load.answers["503"]
        async with traced(process.pid, "pwrite64:error=ENOSPC"):
            # strace takes a while to get hold of every thread.
            with contextlib.suppress(AssertionError):
                await eventually(lambda: load.answers["503"] > refused or process.ended.done())
            await asyncio.sleep(FULL_DISK_SECONDS)
        goes_on = await self._more(load, process)
        if process.ended.done():
            self.found.stuck.append("a full disk ended the reconciler")
        elif not goes_on:
            self.found.stuck.append("a disk that was full is not used again")
        elif load.answers["503"] == refused:
            self.found.answers.append("nothing was refused while the disk was full")
        await process.end()

    async def _more(self, load: Load, process: ForkedProcess) -> bool:
        """Wait until some more notifications are stored; return whether they are."""
        stored = load.answers["200"]
        until = clock.monotonic() + self.settle_seconds
        while load.answers["200"] < stored + 10:
            if clock.monotonic() > until or process.ended.done():
                return False
            await asyncio.sleep(0.02)
        return True

    async def _settle(self, load: Load) -> None:
        began = clock.monotonic()
        engine = reading_engine(self.url)
        try:
            await load.stop_falling_ill()
            self.found.stuck += await self._until_empty(engine, unsettled)
            await load.end_illnesses()
            self.found.stuck += await self._until_empty(engine, still_open)
        finally:
            engine.dispose()
        self.settled_after = clock.monotonic() - began

    async def _until_empty(
        self, engine: Engine, what: Callable[[Connection], list[str]]
    ) -> list[str]:
        """Ask until nothing is left; return what is left at the end of the time."""
        until = clock.monotonic() + self.settle_seconds
        left = ["the database was never there"]
        while clock.monotonic() < until:
            with contextlib.suppress(SQLAlchemyError), engine.connect() as connection:
                left = what(connection)
                if not left:
                    return []
            await asyncio.sleep(0.1)
        return left

    def _check(self, load: Load) -> None:
        assert self.world.witness is not None
        engine = reading_engine(self.url)
        try:
            found = check_all(
                engine, self.audit_key.encode(), load.promised, self.world.witness.lines()
            )
        except SQLAlchemyError as error:
            found = Found(integrity=[f"the database cannot be read: {error}"])
        finally:
            engine.dispose()
        self.found.add(found)
        odd = set(load.answers) - {"200", "503", "none"}
        self.found.answers += [f"a webhook was answered {status}" for status in sorted(odd)]
        if not self.found.count:
            shutil.rmtree(self.folder)


def lay_out(folder: Path, world: World, port: int, audit_key: str, *, timeout: str = "2s") -> None:
    """Write everything that a reconciler reads.

    Args:
        folder: is made.
        world: what it watches and acts on.
        port: the reconciler's own.
        audit_key: of the chain of events.
        timeout: of each step of each runbook.
    """
    books = folder / "runbooks"
    books.mkdir(parents=True)
    for alert, text in runbook_texts(timeout).items():
        (books / f"{alert}.md").write_text(text, "utf-8")
    secrets_folder = folder / "var" / "secrets"
    secrets_folder.mkdir(parents=True)
    for name in TOKENS:
        (secrets_folder / f"{name}_token").write_text(name, "ascii")
    (secrets_folder / "audit_key").write_text(audit_key, "ascii")
    targets = {"version": 1, "targets": _targets(world, port)}
    (folder / "targets.yml").write_text(json.dumps(targets), "utf-8")


def _targets(world: World, port: int) -> list[dict[str, Any]]:
    """JSON is YAML too. The central services share one port, by other names of loopback."""
    central = world.central_port
    targets: list[dict[str, Any]] = [
        {
            "name": "paper",
            "kind": "venue",
            "address": f"127.0.0.1:{free_port()}",
            "faults": f"127.0.0.1:{free_port()}",
        },
        {"name": "reconciler", "kind": "reconciler", "address": f"127.0.0.1:{port}"},
        {"name": "supervisor", "kind": "supervisor", "address": f"127.0.0.2:{central}"},
        {"name": "oncall-mailbox", "kind": "mail", "address": f"127.0.0.1:{free_port()}"},
        {"name": "prometheus", "kind": "prometheus", "address": f"127.0.0.3:{central}"},
        {"name": "alertmanager", "kind": "alertmanager", "address": f"127.0.0.4:{central}"},
    ]
    for bot in world.bots:
        targets.append(
            {
                "name": bot,
                "kind": "bot",
                "venue": "paper",
                "address": world.agent_address(bot),
                "service": {"manager": "supervisor", "unit": bot, "restarts": "reconciler"},
            }
        )
    return targets
