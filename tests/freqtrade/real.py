"""A real Freqtrade in a dry run, and the exchange that it trades on, each a process of its own."""

import asyncio
import base64
import contextlib
import http.client
import inspect
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.free_ports import free_port

ROOT = Path(__file__).parents[2]
STRATEGIES = Path(__file__).parent / "strategies"
USER, PASSWORD, WS_TOKEN = "freqtrader", "proof:secret", "only-to-listen"
PAIRS = ["BTC/USDT", "ETH/USDT"]
LOOK_AGAIN_SECONDS = 0.3
STARTED_WITHIN = 180.0
PATIENCE = 3.0
"""Times the limits, which are a quiet machine's: only a fault waits them out."""


async def patiently(ask: Callable[[], Any], *, within: float, what: str = "") -> Any:
    """Return the first truthy answer; asked some times a second, for a real program answers.

    While it reloads, Freqtrade's API is away: no answer is not the answer.
    """
    within *= PATIENCE
    deadline = time.monotonic() + within
    while True:
        answer: Any = None
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = ask()
            if inspect.isawaitable(answer):
                answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within:g} s: {what or ask}; {answer!r}"
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


class Process:
    """One process with its log, ended with the block."""

    def __init__(self, folder: Path, name: str) -> None:
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.send(signal.SIGCONT)
            self.end(signal.SIGKILL)

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was never started"
        return self._process

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def spawn(self, *command: str, cwd: Path) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.running.pid, number)

    def end(self, number: signal.Signals) -> int:
        """Send a signal that ends it; return its exit code."""
        self.send(number)
        return self.running.wait(30 * PATIENCE)


class Exchange(Process):
    """The small exchange in Binance's dialect."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "exchange")
        self.port, self._control = free_port(), free_port()

    def __enter__(self) -> Self:
        module = "tests.freqtrade.binance"
        ports = (str(self.port), str(self._control))
        self.spawn(sys.executable, "-m", module, *ports, cwd=ROOT)
        _until_open(self._control, self)
        return self

    def mode(self, mode: str) -> None:
        """Fare so from now on: ok, 429, 500, hang or down."""
        assert _request(self._control, "POST", "/mode", body=mode) == (200, mode)

    def price(self, price: float) -> None:
        assert _request(self._control, "POST", "/price", body=str(price))[0] == 200

    def asked(self) -> dict[str, int]:
        """Return how often each path was asked for."""
        found: dict[str, int] = json.loads(_request(self._control, "GET", "/asked")[1])
        return found


class RealFreqtrade(Process):
    """Freqtrade from PyPI, with a database and a configuration of its own."""

    def __init__(self, binary: Path, folder: Path, exchange: Exchange) -> None:
        super().__init__(folder, "freqtrade")
        self._binary, self._folder = binary, folder
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        config = _config(self.port, exchange.port)
        (folder / "config.json").write_text(json.dumps(config, indent=2))

    def spawn_only(self) -> None:
        """Start it, and wait for nothing."""
        arguments = (
            *("trade", "--config", "config.json", "--userdir", ".", "--datadir", "."),
            *("--strategy", "AlwaysEnters", "--strategy-path", str(STRATEGIES)),
            *("--db-url", f"sqlite:///{self._folder / 'trades.sqlite'}"),
        )
        self.spawn(str(self._binary), *arguments, cwd=self._folder)

    def start(self) -> None:
        """Start it, and return when its first whole loop is done."""
        began = time.time()  # noqa: TID251 - compared with what another program says
        self.spawn_only()
        _until_open(self.port, self)
        deadline = time.monotonic() + STARTED_WITHIN
        while (self.get("/health")["last_process_ts"] or 0) < began - 1:
            assert time.monotonic() < deadline, self.log[-3000:]
            time.sleep(LOOK_AGAIN_SECONDS)

    def ask(
        self, method: str, path: str, body: Any = None, *, within: float = 20.0
    ) -> tuple[int, Any]:
        """Return status and answer."""
        status, text = _request(
            self.port, method, f"/api/v1{path}", body=body, within=within, basic=True
        )
        with contextlib.suppress(ValueError):
            return status, json.loads(text)
        return status, text

    def get(self, path: str) -> Any:
        """Return what it answers, which must be a success."""
        status, answer = self.ask("GET", path)
        assert status == 200, (path, status, answer)
        return answer

    def post(self, path: str, body: Any = None) -> Any:
        status, answer = self.ask("POST", path, body)
        assert status == 200, (path, status, answer)
        return answer

    @property
    def state(self) -> str:
        return str(self.get("/show_config")["state"])

    @property
    def loop_age(self) -> float:
        """Return the seconds since its last whole loop."""
        ended: float | None = self.get("/health")["last_process_ts"]
        return time.time() - ended if ended else math.inf  # noqa: TID251

    def open_trades(self) -> int:
        return int(self.get("/count")["current"])

    def global_locks(self) -> list[dict[str, Any]]:
        return [
            lock for lock in self.get("/locks")["locks"] if lock["active"] and lock["pair"] == "*"
        ]


def _request(
    port: int,
    method: str,
    path: str,
    *,
    body: Any = None,
    within: float = 20.0,
    basic: bool = False,
) -> tuple[int, str]:
    headers = {}
    if basic:
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within)
    with contextlib.closing(connection):
        connection.request(method, path, body=text, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def _until_open(port: int, process: Process) -> None:
    deadline = time.monotonic() + STARTED_WITHIN
    while True:
        assert process.running.poll() is None, process.log[-3000:]
        with contextlib.suppress(OSError):
            _request(port, "GET", "/", within=2.0)
            return
        assert time.monotonic() < deadline, process.log[-3000:]
        time.sleep(LOOK_AGAIN_SECONDS)


def _config(port: int, exchange_port: int) -> dict[str, Any]:
    """Return what a dry run without any network needs.

    `fetchMarkets` keeps ccxt from the futures' address; without keys, a fiat currency and Telegram
    nothing else is asked for.
    """
    prices = {"price_side": "other", "use_order_book": True, "order_book_top": 1}
    public = {"public": f"http://127.0.0.1:{exchange_port}/api/v3"}
    return {
        "dry_run": True,
        "dry_run_wallet": 1000,
        "max_open_trades": 2,
        "stake_currency": "USDT",
        "stake_amount": 100,
        "timeframe": "1m",
        "entry_pricing": prices,
        "exit_pricing": prices,
        "order_types": {
            "entry": "market", "exit": "market", "force_entry": "limit", "force_exit": "market",
            "emergency_exit": "market", "stoploss": "market", "stoploss_on_exchange": False,
        },
        "unfilledtimeout": {"entry": 30, "exit": 30, "unit": "minutes"},
        "exchange": {
            "name": "binance",
            "key": "",
            "secret": "",
            "enable_ws": False,
            "pair_whitelist": PAIRS,
            "ccxt_config": {
                "urls": {"api": public},
                "options": {"fetchMarkets": {"types": ["spot"]}},
            },
        },
        "pairlists": [{"method": "StaticPairList"}],
        "initial_state": "running",
        "force_entry_enable": True,
        "api_server": {
            "enabled": True,
            "listen_ip_address": "127.0.0.1",
            "listen_port": port,
            "username": USER,
            "password": PASSWORD,
            "jwt_secret_key": "a key of this proof alone, long enough",
            "ws_token": WS_TOKEN,
            "verbosity": "error",
        },
    }  # fmt: skip
