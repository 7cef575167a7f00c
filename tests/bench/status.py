"""Time of `trading-ops status` with 1,000 bots: `python -m tests.bench.status`.

The peer is a program that does the same without us: it reads the same targets.yml, sends the one
large request with aiohttp, and prints a line for each bot.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from aiohttp import web

from tests.bench.say import say
from tests.free_ports import free_port
from trading_ops import clock
from trading_ops.project.folder import create
from trading_ops.project.shipped import shipped

FLEET, TIMES = 1000, 7
GOAL_SECONDS, GOAL_RATIO = 0.5, 2.0
PEER = """
import asyncio, sys
import aiohttp, yaml
targets = yaml.load(open("targets.yml"), yaml.CSafeLoader)["targets"]
async def main():
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://{sys.argv[1]}/api/v1/targets") as answer:
            known = {target["name"]: target for target in (await answer.json())["targets"]}
    for target in targets:
        name = target["name"]
        print(name, target["kind"], target["address"], known.get(name, {}).get("agent"))
asyncio.run(main())
"""


NAMES = [f"bot-{number:04}" for number in range(FLEET)]


def _install(folder: Path, port: int) -> None:
    create(folder, shipped())
    targets = [
        {"name": "reconciler", "kind": "reconciler", "address": f"127.0.0.1:{port}"},
        *(
            {"name": kind, "kind": kind, "address": f"127.0.0.{at}:{port}"}
            for at, kind in enumerate(("prometheus", "alertmanager"), start=2)
        ),
        {"name": "paper", "kind": "venue", "address": "127.0.0.1:20000"},
        *(
            {"name": name, "kind": "bot", "venue": "paper", "address": f"127.0.0.1:{20001 + at}"}
            for at, name in enumerate(NAMES)
        ),
    ]
    (folder / "targets.yml").write_text(json.dumps({"version": 1, "targets": targets}))
    secrets = folder / "var" / "secrets"
    secrets.mkdir(parents=True, mode=0o700)
    (secrets / "operator_token").write_text("operator\n")
    (secrets / "operator_token").chmod(0o600)


async def _seconds(folder: Path, *command: str) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=folder, stdout=asyncio.subprocess.DEVNULL,
        env={"PATH": os.defpath, "TRADING_OPS_ROOT": str(folder)},
    )  # fmt: skip
    code = await process.wait()
    if code:
        raise SystemExit(f"{' '.join(command)} exited with {code}")
    return time.perf_counter() - began


async def _answer(request: web.Request) -> web.Response:
    if request.path == "/api/v1/targets":
        # Answered in the future, so that no bot is silent at the end of the bench.
        at = (clock.now() + timedelta(hours=1)).isoformat()
        parts = {"heartbeat": True, "broker": True, "feed": True}
        known = {"state": "active", "status": "ok", "answered_at": at, "components": parts}
        return web.json_response(
            {"targets": [{"name": name, "holds": [], "agent": known} for name in NAMES]}
        )
    counts = ("incidents_open", "notifications_waiting", "notifications_quarantined")
    return web.json_response(
        {"version": "1", "pause": None, "open_incidents": [], "maintenance": []}
        | dict.fromkeys(counts, 0)
    )


async def _measure(folder: Path) -> None:
    port = free_port()
    _install(folder, port)
    application = web.Application()
    application.router.add_get("/{path:.*}", _answer)
    runner = web.AppRunner(application)
    await runner.setup()
    for at in (1, 2, 3):
        await web.TCPSite(runner, f"127.0.0.{at}", port).start()
    ours, theirs = list[float](), list[float]()
    for _ in range(TIMES):  # in turn, so that other work on the machine meets both
        ours.append(await _seconds(folder, "-m", "trading_ops.cli.main", "status"))
        theirs.append(await _seconds(folder, "-c", PEER, f"127.0.0.1:{port}"))
    await runner.cleanup()
    median, peer = statistics.median(ours), statistics.median(theirs)
    ratio = statistics.median(own / other for own, other in zip(ours, theirs, strict=True))
    met = "met" if median < GOAL_SECONDS and ratio < GOAL_RATIO else "MISSED"
    say(
        f"status of {FLEET} bots: median {median:.2f} s, {ratio:.2f} of the peer's {peer:.2f} s "
        f"(goal {GOAL_SECONDS:g} s and {GOAL_RATIO:g}: {met})"
    )


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder)))


if __name__ == "__main__":
    main()
