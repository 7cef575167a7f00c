"""Two instances of one bot on a real venue and a real PostgreSQL, and what the venue saw."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_connection, socket
from typing import Any, cast

import aiohttp

from tests.crash.bot_venue import BotVenue
from tests.database_cable import Cable
from tests.free_ports import free_port
from tests.postgres import Cluster
from trading_ops import clock
from trading_ops.botkit.failpoints import BotFailpoint

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.05
PLANTED = ("ignore-the-lease",)
"""What an instance can be broken with; see `bot_instance`."""

EXIT_SECONDS = 20.0


class Wire(Cable):
    """A cable that can stop carrying anything, as a partitioned network does, and go on."""

    def __init__(self, to: int) -> None:
        super().__init__(to)
        self._carrying = threading.Event()
        self._carrying.set()

    def _accept(self) -> None:
        """As the cable does, but a server that is away does not end it."""
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = create_connection(("127.0.0.1", self._to))
                except OSError:
                    near.close()
                    continue
                self._open += [near, far]
                for carry in (self._there, self._back):
                    threading.Thread(target=carry, args=(near, far), daemon=True).start()

    def stall(self) -> None:
        """Drop everything without closing connections."""
        self._carrying.clear()

    def restore(self) -> None:
        """Carry on, with what was held up."""
        self._carrying.set()

    def _there(self, near: Any, far: Any) -> None:
        super()._there(cast("socket", _Held(near, self._carrying)), far)

    def _back(self, near: Any, far: Any) -> None:
        super()._back(near, cast("socket", _Held(far, self._carrying)))


class _Held:
    """A socket whose data waits while nothing is carried."""

    def __init__(self, end: Any, carrying: threading.Event) -> None:
        self._end, self._carrying = end, carrying

    def recv(self, size: int) -> bytes:
        data: bytes = self._end.recv(size)
        self._carrying.wait()
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._end, name)


@dataclass
class Instance:
    """One instance, across restarts."""

    name: str
    folder: Path
    world: BotVenue
    url: str
    wire: Wire
    lease: dict[str, float]
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    tag: str = ""
    tags: list[str] = field(default_factory=list)
    """Of all its processes."""

    @property
    def log(self) -> str:
        """The output of all its processes."""
        path = self.folder / "bot.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def freeze_file(self) -> Path:
        """Whose presence freezes it at its place."""
        return self.folder / "freeze"

    def start(
        self, *, freeze: BotFailpoint | None = None, plant: str = "", **settings: Any
    ) -> None:
        """Begin a run."""
        assert self.process is None or self.process.poll() is not None
        self.folder.mkdir(exist_ok=True)
        file = self.folder / "database"
        file.write_text(self.url)
        config = json.loads((self.world.folder / "bot.json").read_text())
        config |= {
            "instance": self.name,
            "agent_address": f"127.0.0.1:{self.port}",
            "state_dir": str(self.folder / "state"),
            "records": {"url_file": str(file), **self.lease},
            # Slow enough for two of them and a busy machine.
            "pass_interval_seconds": 0.25,
            "holds_wait_seconds": 0,
            "probe_interval_seconds": 0.5,
            "request_timeout_seconds": 2.0,
            "lost_order_seconds": 5.0,
            "reconcile_seconds": 2.0,
            # It trades whenever it can; what is looked at is who, and not how much.
            "risk": {
                "orders": 10_000,
                "exposure": "1000",
                "daily_loss": "5000",
                "total_drawdown": "10000",
            },
            **settings,
        }
        path = self.folder / "bot.json"
        path.write_text(json.dumps(config))
        self.tag = secrets.token_hex(2)
        self.tags.append(self.tag)
        self.freeze_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.crash.bot_instance", "--config", str(path)]
        command += ["--tag", self.tag]
        if freeze is not None:
            command += ["--freeze", freeze.value, "--freeze-when", str(self.freeze_file)]
        if plant:
            command += ["--plant", plant]
        with (self.folder / "bot.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this run."""
        assert self.process is not None
        self.process.send_signal(number)

    @property
    def stopped(self) -> bool:
        """Whether it is frozen."""
        assert self.process is not None
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    @property
    def code(self) -> int | None:
        """How this run ended, None: it has not."""
        assert self.process is not None
        return self.process.poll()

    def end(self) -> None:
        """Kill what there is."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    async def health(self) -> dict[str, Any]:
        """What its agent says; nothing when it does not answer."""
        try:
            return dict(json.loads(await self._get("/health")))
        except (aiohttp.ClientError, TimeoutError):
            return {}

    async def role(self) -> str:
        """`leader`, `standby`, or nothing."""
        return str((await self.health()).get("role", ""))

    async def metrics(self) -> str:
        """Its page."""
        return await self._get("/metrics")

    async def command(self, name: str, **params: str) -> dict[str, Any]:
        """Ask its agent as a person does."""
        body = {"attempt_id": secrets.token_hex(8), "fence": 1, "params": params}
        url = f"http://127.0.0.1:{self.port}/commands/{name}"
        async with self.world.http.post(url, json=body, headers=self._headers()) as answer:
            return dict(await answer.json())

    async def _get(self, path: str) -> str:
        url = f"http://127.0.0.1:{self.port}{path}"
        within = aiohttp.ClientTimeout(2)
        async with self.world.http.get(url, headers=self._headers(), timeout=within) as answer:
            answer.raise_for_status()
            return await answer.text()

    def _headers(self) -> dict[str, str]:
        token = (self.world.folder / "secrets" / "agent_token").read_text()
        return {"Authorization": f"Bearer {token}"}


@dataclass
class Pair:
    """A venue, a database, and two instances."""

    world: BotVenue
    cluster: Cluster
    url: str
    instances: tuple[Instance, Instance]
    entries: list[dict[str, Any]] = field(default_factory=list)
    """Of the venue's journal, as far as they were read."""

    _last: int = 0

    def rows(self, query: str) -> list[Any]:
        """Ask the bot's records."""
        return self.cluster.execute(query, self.url.rpartition("/")[2])

    async def orders(self) -> list[dict[str, Any]]:
        """Return every order that the venue took, in its order."""
        while True:
            new, last = await self.world.journal(self._last)
            if not new:
                break
            self.entries += new
            self._last = max(entry["seq"] for entry in new)
            if self._last >= last:
                break
        return [entry for entry in self.entries if entry["event"] == "order_added"]

    async def first_order_of(self, tag: str) -> float | None:
        """Return when the venue took the first order of a run."""
        return next((order["time"] for order in await self.orders() if tag_of(order) == tag), None)

    async def leader(self) -> Instance | None:
        """Return who says that it leads."""
        for instance in self.instances:
            if instance.code is None and not instance.stopped and await instance.role() == "leader":
                return instance
        return None

    def other(self, instance: Instance) -> Instance:
        """Return the other one."""
        return next(other for other in self.instances if other is not instance)


def tag_of(entry: dict[str, Any]) -> str:
    """Return which run placed an order."""
    return str(entry["client_order_id"])[9:13]


def returned(orders: Iterable[dict[str, Any]]) -> list[str]:
    """Return where a run traded again after another had: two traded at once, or in turns.

    A run that was replaced never leads again, so each has one stretch in the venue's journal.
    """
    seen: list[str] = []
    found = []
    for entry in orders:
        tag = tag_of(entry)
        if not seen or seen[-1] != tag:
            if tag in seen:
                found.append(f"order {entry['order']} of {tag} after those of {seen[-1]}")
            seen.append(tag)
    return found


async def begin(
    folder: Path, cluster: Cluster, *, lease: dict[str, float], seed: int = 7
) -> tuple[Pair, list[Wire]]:
    """Start the venue and prepare two instances; who asks starts them and calls `finish`."""
    world = BotVenue(folder, seed)
    await world.start()
    url = cluster.new_database(migrated=False)
    wires = [Wire(cluster.port), Wire(cluster.port)]
    made = []
    for name, wire in zip(("alpha", "alpha-b"), wires, strict=True):
        wire.__enter__()
        through = url.replace(f":{cluster.port}/", f":{wire.port}/")
        made.append(
            Instance(
                name=name, folder=folder / name, world=world, url=through, wire=wire, lease=lease
            )
        )
    return Pair(world, cluster, url, (made[0], made[1])), wires


async def finish(pair: Pair, wires: list[Wire]) -> None:
    """End everything that was started."""
    for instance in pair.instances:
        instance.end()
    for wire in wires:
        wire.restore()
        wire.__exit__()
    await pair.world.stop()


async def until(ask: Any, *, within: float, what: str) -> Any:
    """Return the first truthy answer."""
    deadline = clock.monotonic() + within
    while True:
        answer = await ask()
        if answer:
            return answer
        assert clock.monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(POLL_SECONDS)
