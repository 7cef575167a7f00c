"""The venue of a crash sweep: a real process, its faults, and what it knows of the account."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from base64 import b64encode
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from tests.crash.fork_server import ROOT
from tests.free_ports import free_port
from trading_ops import clock

ACCOUNT = "alpha"
READY_SECONDS = 60.0
SECRETS = ("faults_token", "metrics_token", "agent_token", "venue_key")


@dataclass
class BotVenue:
    """One folder with a venue, and the configuration of a bot that trades as fast as it can."""

    folder: Path
    seed: int
    port: int = field(default_factory=free_port)
    faults_port: int = field(default_factory=free_port)
    agent_port: int = field(default_factory=free_port)
    http: aiohttp.ClientSession = field(init=False)
    _process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Write the files, and start the venue."""
        held = self.folder / "secrets"
        held.mkdir(parents=True)
        for name in SECRETS:
            (held / name).write_text(secrets.token_hex(32))
        (held / "venue_secret").write_text(b64encode(secrets.token_bytes(64)).decode())
        keys = {"key_file": str(held / "venue_key"), "secret_file": str(held / "venue_secret")}
        venue = {
            "address": f"127.0.0.1:{self.port}",
            "faults_address": f"127.0.0.1:{self.faults_port}",
            "state_dir": str(self.folder / "venue"),
            "seed": self.seed,
            "tick_seconds": 0.05,
            "faults_token_file": str(held / "faults_token"),
            "keys": [{**keys, "account": ACCOUNT}],
        }
        bot = {
            "name": ACCOUNT,
            "venue": "paper",
            "venue_address": venue["address"],
            "agent_address": f"127.0.0.1:{self.agent_port}",
            "state_dir": str(self.folder / "bot"),
            "metrics_token_file": str(held / "metrics_token"),
            "agent_token_file": str(held / "agent_token"),
            **keys,
            "symbols": ["BTC/USD", "ETH/USD"],
            "pass_interval_seconds": 0.05,
            "holds_wait_seconds": 0,
            "probe_interval_seconds": 0.2,
            "request_timeout_seconds": 0.8,
            "dead_man_seconds": 3,
            "fast_samples": 2,
            "slow_samples": 6,
            "order_lifetime_seconds": 1.0,
            "reconcile_seconds": 0.5,
            "lost_order_seconds": 2.0,
            "watchers": [],
        }
        (self.folder / "venue.json").write_text(json.dumps(venue))
        (self.folder / "bot.json").write_text(json.dumps(bot))
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60))
        with (self.folder / "venue.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - once, before anything else
                [sys.executable, "-m", "trading_ops_lab.paper.venue", "--config", "venue.json"],
                cwd=self.folder,
                env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        await self._ready()

    async def stop(self) -> None:
        """End the venue."""
        await self.http.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Return the id of the venue's process."""
        assert self._process is not None
        return self._process.pid

    async def break_(self, fault: dict[str, Any]) -> None:
        """Begin a fault."""
        await self._ask("POST", "/faults", fault)

    async def clear_faults(self) -> None:
        """End all faults."""
        await self._ask("DELETE", "/faults")

    async def balances(self) -> dict[str, Decimal]:
        """What the venue itself knows, past every fault."""
        amounts = (await self._ask("GET", f"/accounts/{ACCOUNT}"))["balances"]
        return {NAMES[name]: Decimal(amount) for name, amount in amounts.items()}

    async def trade_by_hand(self) -> None:
        """Sell a little, as an operator would; the journal shows whether it was filled."""
        order = {"pair": "XBTUSD", "type": "sell", "ordertype": "market", "volume": "0.001"}
        await self._ask("POST", f"/accounts/{ACCOUNT}/orders", order)

    async def deposit(self, cents: int) -> None:
        """Pay a little in."""
        body = {"asset": "USD", "amount": str(Decimal(cents) / 100)}
        await self._ask("POST", f"/accounts/{ACCOUNT}/deposits", body)

    async def journal(self, after: int) -> tuple[list[dict[str, Any]], int]:
        """What happened at the venue after an entry, and the number of the newest one."""
        reply = await self._ask("GET", f"/journal?after={after}")
        return reply["entries"], reply["last"]

    async def command(self, name: str, params: dict[str, str]) -> bool:
        """Ask the bot's agent as a person does; return whether it was acknowledged."""
        body = {"attempt_id": secrets.token_hex(8), "fence": 1, "params": params}
        token = (self.folder / "secrets" / "agent_token").read_text()
        url = f"http://127.0.0.1:{self.agent_port}/commands/{name}"
        headers = {"Authorization": f"Bearer {token}"}
        try:
            async with self.http.post(url, json=body, headers=headers) as answer:
                return answer.status == 200 and (await answer.json())["outcome"] == "succeeded"
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _ready(self) -> None:
        deadline = clock.monotonic() + READY_SECONDS
        while True:
            try:
                await self._ask("GET", "/ready")
            except aiohttp.ClientError:
                if self._process is None or self._process.poll() is not None:
                    log = (self.folder / "venue.log").read_text()
                    raise RuntimeError(f"the venue has ended: {log[-2000:]}") from None
                if clock.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)
            else:
                return

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        token = (self.folder / "secrets" / "faults_token").read_text()
        url = f"http://127.0.0.1:{self.faults_port}{path}"
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.request(method, url, json=body, headers=headers) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()


NAMES = {"XXBT": "BTC", "XETH": "ETH", "ZUSD": "USD", "SOL": "SOL"}
"""Ours for the venue's names of currencies."""
