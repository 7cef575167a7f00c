"""What a fleet costs a reconciler: `python -m tests.bench.fleet --targets 1000`.

For 1, 10, 100 … bots: start, CPU and memory at rest, a pass, the scrape of the reconciler, the API
at 200 requests a second, and halting and resuming all bots. This process plays the bots' agents,
Prometheus and Alertmanager; the reconciler is a process of its own.
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import aiohttp
import psutil

from tests.bench.latency import ask
from tests.bench.say import p50_p99, say
from tests.crash.fork_server import server
from tests.crash.rounds import lay_out
from tests.crash.services import World
from tests.free_ports import free_port
from tests.waiting import eventually
from trading_ops import clock

REST_SECONDS = 20.0
SCRAPES = 10
HEADERS = {"Authorization": "Bearer operator"}
METRICS = {"Authorization": "Bearer metrics"}
ORDER = {"reason": "bench"}
PASS = "trading_ops_reconcile_duration_seconds"
GOALS = "goals at 1,000: CPU < 20 %, RSS < 250 MB, API p99 < 20 ms"


class FleetAgent(asyncio.Protocol):
    """One connection to a bot's agent, played at a small cost: a bot keeps its holds."""

    def __init__(self, bot: str, holds: dict[str, dict[str, Any]]) -> None:
        self._bot, self._holds = bot, holds
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            path = self._buffer.split(b" ", 2)[1].decode()
            self._buffer = self._buffer[end + 4 + length :]
            answer = json.dumps(self._answer(path, json.loads(body or b"{}"))).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            self._transport.write(b"Content-Length: %d\r\n\r\n" % len(answer) + answer)

    def _answer(self, path: str, order: dict[str, Any]) -> dict[str, Any]:
        if path == "/health":
            held = list(self._holds.values())
            state = "halted" if held else "active"
            about = {"status": "ok", "incarnation": "1:1", "state": state, "holds": held}
            return {"bot": self._bot, "components": {}, **about}
        if path == "/fence":
            return {"highest": order["fence"]}
        answer = {"attempt_id": order["attempt_id"], "outcome": "succeeded", "detail": "done"}
        if path == "/commands/halt":
            hold = {"state": "halted", "at": clock.timestamp(), **order["params"]}
            self._holds[hold["id"]] = hold
        elif path == "/commands/resume":
            answer["released"] = list(self._holds.values())
            self._holds.clear()
        return answer


class Fleet(World):
    """All bots' agents, each on a port of its own, beside what is central."""

    async def start(self) -> None:
        """Serve."""
        bots, self.bots = self.bots, []
        await super().start()
        self.bots = bots
        loop = asyncio.get_running_loop()
        self._agents = []
        for bot in bots:
            made = partial(FleetAgent, bot, {})
            self._agents.append(await loop.create_server(made, "127.0.0.1", 0))
            self.ports[self._agents[-1].sockets[0].getsockname()[1]] = bot

    async def stop(self) -> None:
        """End it."""
        for agent in self._agents:
            agent.close()
        await super().stop()


@dataclass
class Running:
    """One reconciler and its fleet."""

    session: aiohttp.ClientSession
    url: str
    process: psutil.Process

    async def get(self, path: str, headers: Mapping[str, str] = HEADERS) -> str:
        async with self.session.get(self.url + path, headers=headers) as response:
            return await response.text()

    async def post(self, path: str) -> Any:
        async with self.session.post(self.url + path, headers=HEADERS, json=ORDER) as response:
            if not response.ok:
                raise RuntimeError(f"{path}: {response.status} {await response.text()}")
            return await response.json()

    async def is_in_force(self, bots: int) -> bool:
        """Whether so many bots have acknowledged a hold."""
        targets = json.loads(await self.get("/api/v1/targets"))["targets"]
        return sum(bool(target["in_force"]) for target in targets) == bots

    def used(self) -> float:
        """Seconds of CPU so far, of all its threads."""
        times = self.process.cpu_times()
        return times.user + times.system

    async def passes(self) -> tuple[float, float]:
        """The sum and the number of passes."""
        lines = (await self.get("/metrics", METRICS)).splitlines()
        found = {
            part: sum(
                float(line.split()[-1]) for line in lines if line.startswith(f"{PASS}_{part}")
            )
            for part in ("sum", "count")
        }
        return found["sum"], found["count"]


@contextlib.asynccontextmanager
async def running(bots: int) -> AsyncIterator[tuple[Running, float]]:
    """Start one; yield it with the seconds until it was ready."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "installation"
        world = Fleet(bots, seed=1)
        await world.start()
        port = free_port()
        lay_out(folder, world, port, "audit")
        world.begin(folder)
        environ = {"TRADING_OPS_VAR": str(folder / "var")}
        async with server() as lives, aiohttp.ClientSession() as session:
            began = time.perf_counter()
            life = await lives.begin({"folder": str(folder), "environ": environ})
            fleet = Running(session, f"http://127.0.0.1:{port}", psutil.Process(life.pid))
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    if "ready" in await fleet.get("/-/ready"):
                        break
                await asyncio.sleep(0.05)
            try:
                yield fleet, time.perf_counter() - began
            finally:
                await life.end()
                await world.stop()


async def measure(bots: int) -> None:
    """Print one row."""
    async with running(bots) as (fleet, started):
        await asyncio.sleep(REST_SECONDS / 2)  # what a start costs is over
        began, used, (spent, passed) = time.perf_counter(), fleet.used(), await fleet.passes()
        await asyncio.sleep(REST_SECONDS)
        share = (fleet.used() - used) / (time.perf_counter() - began)
        after = await fleet.passes()
        spent, passed = after[0] - spent, after[1] - passed
        memory = fleet.process.memory_info().rss / 2**20
        scrapes = []
        for _ in range(SCRAPES):
            began = time.perf_counter()
            await fleet.get("/metrics/vital", METRICS)
            scrapes.append(time.perf_counter() - began)
        latencies, failed = await ask(fleet.session, fleet.url)
        p50, p99 = p50_p99(latencies)
        began = time.perf_counter()
        await fleet.post("/api/v1/halt")
        await eventually(lambda: fleet.is_in_force(bots))
        halted = time.perf_counter() - began
        began = time.perf_counter()
        released = (await fleet.post("/api/v1/resume"))["released"]
        resumed = time.perf_counter() - began
        if len(released) != bots or any(bot["remaining"] for bot in released):
            raise RuntimeError("a bot was not resumed")
    say(
        f"{bots:>6} {started:>7.1f} {100 * share:>6.1f} {memory:>6.0f} "
        f"{1000 * spent / max(passed, 1):>8.1f} {1000 * max(scrapes):>9.0f} "
        f"{p50:>8.1f} {p99:>8.1f} {failed:>6} {halted:>7.2f} {resumed:>8.2f}"
    )


async def main(targets: int) -> None:
    """Print a row for each size."""
    say(
        "  bots   start  CPU %     MB  pass ms scrape ms   API p50      p99 failed  halt s resume s"
    )
    size = 1
    while size <= targets:
        await measure(size)
        size *= 10
    say(GOALS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--targets", type=int, default=1000)
    asyncio.run(main(parser.parse_args().targets))
