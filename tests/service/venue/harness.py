"""A paper venue for tests: its files, its process, and clients that call its ports."""

import asyncio
import base64
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp

from tests.free_ports import free_port
from trading_ops_lab.paper.venue import signing

PATIENCE_SECONDS = 120.0
T = TypeVar("T")
TOKEN = "faults-" + "f" * 32


async def until(ask: Callable[[], Awaitable[T]], seconds: float = PATIENCE_SECONDS) -> T:
    """Ask again and again until the answer is true; a deadline guards it."""
    async with asyncio.timeout(seconds):
        while not (answer := await ask()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # what is asked for is in another process or task
    return answer


@dataclass
class Files:
    """A folder with the configuration of one venue."""

    folder: Path
    rest: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    faults: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    keys: tuple[str, ...] = ("alpha", "manual", "second")
    more: dict[str, Any] = field(default_factory=dict)
    """Further keys of the configuration."""

    def __post_init__(self) -> None:
        (self.folder / "token").write_text(TOKEN)
        for account in self.keys:
            (self.folder / f"{account}.key").write_text(f"key-of-{account}")
            (self.folder / f"{account}.secret").write_text(self.secret(account))
        self.config.write_text(json.dumps(self.values()))

    @property
    def config(self) -> Path:
        return self.folder / "venue.json"

    @property
    def journal(self) -> Path:
        return self.folder / "state" / "journal.jsonl"

    @property
    def url(self) -> str:
        return f"http://{self.rest}"

    def secret(self, account: str) -> str:
        return base64.b64encode(f"secret of {account}".encode()).decode()

    def values(self) -> dict[str, Any]:
        keys = [
            {
                "key_file": str(self.folder / f"{name}.key"),
                "secret_file": str(self.folder / f"{name}.secret"),
                "account": "alpha" if name == "second" else name,
                "name": name,
            }
            for name in self.keys
        ]
        return {
            "address": self.rest,
            "faults_address": self.faults,
            "state_dir": str(self.folder / "state"),
            "seed": 7,
            "faults_token_file": str(self.folder / "token"),
            "keys": keys,
            **self.more,
        }

    def options(self, account: str = "alpha") -> dict[str, Any]:
        """Return what ccxt needs: its urls pointed here, and a key."""
        return {
            "apiKey": f"key-of-{account}",
            "secret": self.secret(account),
            "enableRateLimit": False,
            "timeout": 5000,
            "urls": {"api": {"public": self.url, "private": self.url}},
        }

    def signed(
        self, method: str, nonce: int, fields: Mapping[str, object], account: str = "alpha"
    ) -> tuple[str, bytes, dict[str, str]]:
        """Return path, body and headers of a private call, signed manually."""
        path = f"/0/private/{method}"
        body = urlencode({"nonce": nonce, **fields}).encode()
        secret = base64.b64decode(self.secret(account))
        headers = {
            "API-Key": f"key-of-{account}",
            "API-Sign": signing.sign(secret, path, str(nonce), body),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return path, body, headers


class VenueProcess:
    """The real process: `python -m trading_ops_lab.paper.venue`."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.files.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "trading_ops_lab.paper.venue",
                    "--config",
                    self.files.config,
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.ready():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.files.faults}/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    @property
    def log(self) -> str:
        return (self.files.folder / "log").read_text()


@dataclass
class FaultCaller:
    """A drill's side of the fault port."""

    session: aiohttp.ClientSession
    address: str
    token: str = TOKEN

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"http://{self.address}{path}"
        async with self.session.request(method, url, headers=headers, **options) as answer:
            return answer.status, await answer.json()

    async def inject(self, kind: str, **fields: object) -> str:
        status, body = await self.call("POST", "/faults", json={"kind": kind, **fields})
        assert status == 201, body
        return str(body["id"])

    async def clear(self, fault_id: str) -> None:
        status, body = await self.call("DELETE", f"/faults/{fault_id}")
        assert status == 200, body

    async def journal(self, *events: str) -> list[dict[str, Any]]:
        """Return all entries, or those of some events."""
        _, body = await self.call("GET", "/journal?after=0")
        return [entry for entry in body["entries"] if not events or entry["event"] in events]

    async def hand(self, account: str, what: str = "", **fields: object) -> dict[str, Any]:
        """Do something manually on an account, or look at it."""
        path, method = f"/accounts/{account}", "POST" if what else "GET"
        status, body = await self.call(method, path + (f"/{what}" if what else ""), json=fields)
        assert status == 200, body
        return body


class AccountFeed:
    """A client of the raw WebSocket that shows a token; it keeps what it did not ask for yet."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, token: str) -> None:
        self.socket, self.token = socket, token
        self.heard: list[dict[str, Any]] = []

    async def say(self, method: str, **params: object) -> None:
        message = {"method": method, "params": {**params, "token": self.token}, "req_id": 1}
        await self.socket.send_json(message)

    async def ask(self, method: str, **params: object) -> dict[str, Any]:
        """Send a request; return its reply."""
        await self.say(method, **params)
        return await self.next(lambda m: m.get("method") == method)

    async def next(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first message that is wanted and was not returned before."""
        for message in self.heard:
            if wanted(message):
                self.heard.remove(message)
                return message
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                message = json.loads((await self.socket.receive()).data, parse_float=Decimal)
                if wanted(message):
                    return dict(message)
                self.heard.append(message)

    async def of(self, channel: str) -> dict[str, Any]:
        """Return the next message of a channel."""
        return await self.next(lambda m: m.get("channel") == channel)

    async def executions(self, count: int) -> list[dict[str, Any]]:
        """Return the next executions, one a message, and check that none is missing."""
        messages = [await self.of("executions") for _ in range(count)]
        numbers = [message["sequence"] for message in messages]
        assert numbers == list(range(numbers[0], numbers[0] + count))
        return [message["data"][0] for message in messages]
