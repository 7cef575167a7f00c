"""A real paper venue in its own process, and the bot on it, in this process or in another."""

import asyncio
import json
import secrets
import signal
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import aiohttp
import pytest

from tests.free_ports import free_port
from tests.service.botkit.conftest import POLL_SECONDS, SYMBOL, until
from tests.waiting import PATIENCE
from trading_ops import clock
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.bot import Bot
from trading_ops_lab.paper.bot.config import BotConfig, load_config
from trading_ops_lab.paper.venue.signing import sign

SYMBOLS = [SYMBOL, "ETH/USD"]


@pytest.fixture
def metrics() -> BotMetrics:
    return BotMetrics(version="1", mode="paper", symbols=[SYMBOL])


def write_secrets(folder: Path) -> None:
    folder.mkdir()
    for name in ("faults_token", "metrics_token", "agent_token", "venue_key"):
        (folder / name).write_text(secrets.token_hex(32))
    (folder / "venue_secret").write_text(b64encode(secrets.token_bytes(64)).decode())


@dataclass
class Venue:
    """The venue's process, its faults and its journal: the witness that the bot did not write."""

    folder: Path
    http: aiohttp.ClientSession
    port: int = field(default_factory=free_port)
    faults_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        path = self.folder / "venue.json"
        held = self.folder / "secrets"
        key = {
            "key_file": str(held / "venue_key"),
            "secret_file": str(held / "venue_secret"),
            "account": "alpha",
        }
        config = {
            "address": self.address,
            "faults_address": f"127.0.0.1:{self.faults_port}",
            "state_dir": str(self.folder / "venue"),
            "seed": 7,
            "faults_token_file": str(held / "faults_token"),
            "keys": [key],
        }
        path.write_text(json.dumps(config))
        with (self.folder / "venue.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trading_ops_lab.paper.venue", "--config", path], stderr=log
            )

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    async def ready(self) -> None:
        deadline = clock.monotonic() + 20 * PATIENCE
        while True:
            assert clock.monotonic() < deadline, (self.folder / "venue.log").read_text()
            try:
                await self._ask("GET", "/ready")
            except aiohttp.ClientError:
                await asyncio.sleep(POLL_SECONDS)
            else:
                return

    async def break_(self, kind: str, **details: object) -> None:
        await self._ask("POST", "/faults", {"kind": kind, "seconds": None, **details})

    async def clear_faults(self) -> None:
        await self._ask("DELETE", "/faults")

    def journal(self, event: str, after: int = 0) -> list[dict[str, Any]]:
        """Read the file, which is there even when the venue hangs."""
        path = self.folder / "venue" / "journal.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        entries = [json.loads(line) for line in lines]
        return [e for e in entries if e["event"] == event and e["seq"] > after]

    def last_seq(self) -> int:
        lines = (self.folder / "venue" / "journal.jsonl").read_text().splitlines()
        return int(json.loads(lines[-1])["seq"])

    async def use_key(self, nonce: int) -> None:
        """Make a signed request with the bot's key, as another client of its owner would."""
        key, secret = (
            (self.folder / "secrets" / name).read_text() for name in ("venue_key", "venue_secret")
        )
        path, body = "/0/private/Balance", f"nonce={nonce}".encode()
        headers = {
            "API-Key": key,
            "API-Sign": sign(b64decode(secret), path, str(nonce), body),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        url = f"http://{self.address}{path}"
        async with self.http.post(url, data=body, headers=headers) as answer:
            assert (await answer.json())["error"] == []

    def open_orders(self) -> set[str]:
        """Return what is open according to the journal."""
        added = {entry["order"] for entry in self.journal("order_added")}
        ended = {entry["order"] for entry in self.journal("order_cancelled")}
        filled = {
            entry["order"]
            for entry in self.journal("order_filled")
            if float(entry["remaining"]) == 0
        }
        return added - ended - filled

    def unattended(self) -> set[str]:
        """Return what is open and does not cover a position, according to the journal."""
        stops = {e["order"] for e in self.journal("order_added") if e["type"] == "stop-loss"}
        return self.open_orders() - stops

    async def account(self) -> dict[str, Any]:
        """What the venue itself knows of the account, whatever its faults tell others."""
        return cast("dict[str, Any]", await self._ask("GET", "/accounts/alpha"))

    async def deposit(self, asset: str, amount: str) -> None:
        await self._ask("POST", "/accounts/alpha/deposits", {"asset": asset, "amount": amount})

    async def by_hand(self, **order: str) -> dict[str, Any]:
        """Someone trades on the account: the fields of AddOrder."""
        return cast("dict[str, Any]", await self._ask("POST", "/accounts/alpha/orders", order))

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        token = (self.folder / "secrets" / "faults_token").read_text()
        url = f"http://127.0.0.1:{self.faults_port}{path}"
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.request(method, url, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()


@dataclass
class Control:
    """Speaks to the bot's agent as the reconciler does."""

    folder: Path
    http: aiohttp.ClientSession
    port: int

    async def get(self, path: str) -> Any:
        async with self.http.get(self._url(path), headers=self._headers()) as answer:
            assert answer.status == 200
            if answer.content_type == "application/json":
                return await answer.json()
            return await answer.text()

    async def command(self, name: str, **params: str) -> dict[str, Any]:
        body = {"attempt_id": str(uuid4()), "fence": 1, "params": params}
        url = self._url(f"/commands/{name}")
        async with self.http.post(url, json=body, headers=self._headers()) as answer:
            assert answer.status == 200, await answer.text()
            result: dict[str, Any] = await answer.json()
            return result

    async def raise_fence(self, fence: int) -> None:
        body, url = {"fence": fence}, self._url("/fence")
        async with self.http.post(url, json=body, headers=self._headers()) as answer:
            assert await answer.json() == {"highest": fence}

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _headers(self) -> dict[str, str]:
        token = (self.folder / "secrets" / "agent_token").read_text()
        return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session:
        yield session


@pytest.fixture
async def venue(tmp_path: Path, http: aiohttp.ClientSession) -> AsyncIterator[Venue]:
    write_secrets(tmp_path / "secrets")
    venue = Venue(tmp_path, http)
    venue.start()
    try:
        await venue.ready()
        yield venue
    finally:
        venue.stop()


@pytest.fixture
def config_file(tmp_path: Path, venue: Venue) -> Path:
    """A bot that trades quickly, so that tests are short."""
    held = tmp_path / "secrets"
    path = tmp_path / "bot.json"
    config = {
        "name": "alpha",
        "venue": "paper",
        "venue_address": venue.address,
        "agent_address": f"127.0.0.1:{free_port()}",
        "state_dir": str(tmp_path / "bot"),
        "metrics_token_file": str(held / "metrics_token"),
        "agent_token_file": str(held / "agent_token"),
        "key_file": str(held / "venue_key"),
        "secret_file": str(held / "venue_secret"),
        "symbols": SYMBOLS,
        "pass_interval_seconds": 0.2,
        "probe_interval_seconds": 0.3,
        "request_timeout_seconds": 1.0,
        "dead_man_seconds": 3,
        "heartbeat_limit_seconds": 2,
        "fast_samples": 2,
        "slow_samples": 5,
        "order_lifetime_seconds": 1,
        "stale_seconds": 2,
        # No reconciler confirms the holds here.
        "holds_wait_seconds": 0,
        # Passes are five times as fast as by default, so orders are too.
        "risk": {"orders": 1000},
    }
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
def config(config_file: Path) -> BotConfig:
    return load_config(config_file)


@pytest.fixture
async def bot(config: BotConfig) -> AsyncIterator[Bot]:
    """The bot in this process, trading."""
    bot = Bot(config)
    await bot.start()
    try:
        await until(lambda: bot.heartbeat.beat_at, within=20)
        yield bot
    finally:
        await bot.stop()


@pytest.fixture
def control(config: BotConfig, tmp_path: Path, http: aiohttp.ClientSession) -> Control:
    return Control(tmp_path, http, int(config.agent_address.rpartition(":")[2]))


@pytest.fixture
def spawn(config_file: Path, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start the bot as a process of its own."""
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        with (tmp_path / "bot.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "trading_ops_lab.paper.bot", "--config", config_file],
                stderr=log,
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
