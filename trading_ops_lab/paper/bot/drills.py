"""Commands for drills: faults that cannot be injected from outside the bot's process.

They exist only if the configuration has `drills`, which the local stack sets for the bots of its
paper venue.
"""

import asyncio
import hashlib
import os
import threading
from functools import partial
from pathlib import Path

from trading_ops.agent import BadRequest, Command, Params
from trading_ops.instrument import BotMetrics
from trading_ops_lab.paper.bot.pool_load import PoolLoad

DEADLINE_SECONDS = 30.0
MOST_MEBIBYTES = 2048
MEBIBYTE = 1024 * 1024

PIECE = 64 * 1024
"""In bytes; below the size from which the C library maps each allocation separately."""

MOST_THREADS = 1024
MOST_CLIENTS = 64

ROUNDS = 50_000
"""Some 20 ms of computation between two checks whether to stop."""

PIN = 1000
"""Bytes kept of each MiB: above the size that Python allocates from its own arenas."""


class Clutter:
    """Memory that was allocated and freed, and that the C library does not return.

    Many Python processes are in this state after one large task. A small block that is still used
    lies between the freed MiBs, so that the heap cannot shrink. Only `malloc_trim`, or the end of
    the process, returns the memory.
    """

    def __init__(self) -> None:
        """Start without any."""
        self._pins: list[bytes] = []

    def make(self, mebibytes: int) -> str:
        """Allocate memory, write to it, and free all but the pins; 0 frees the pins too."""
        self._pins.clear()
        pieces: list[bytes] = []
        for _ in range(mebibytes):
            pieces += [b"\1" * PIECE for _ in range(MEBIBYTE // PIECE)]
            self._pins.append(b"\1" * PIN)
        pieces.clear()
        return f"{mebibytes} MiB were allocated and freed, and the C library keeps them"


class Burner:
    """Threads of the bot that use the host's CPUs, as when it trains a model.

    They run outside of Python's lock, so that the bot continues to trade.
    """

    def __init__(self) -> None:
        """Start idle."""
        self._stop = threading.Event()

    def burn(self, threads: int) -> str:
        """Run this many threads instead of those that run now; 0 ends them."""
        self._stop.set()
        self._stop = stop = threading.Event()
        for _ in range(threads):
            threading.Thread(target=_compute, args=(stop,), daemon=True).start()
        return f"{threads} threads use the host's {os.cpu_count()} CPUs"


def _compute(stop: threading.Event) -> None:
    while not stop.is_set():
        hashlib.pbkdf2_hmac("sha256", b"drill", b"drill", ROUNDS)


def drill_commands(metrics: BotMetrics, folder: Path, *, allowed: bool) -> dict[str, Command]:
    """Return the commands by name; none if drills are not allowed.

    Args:
        metrics: of the bot.
        folder: of its records.
        allowed: `drills` of the configuration.
    """
    if not allowed:
        return {}
    clutter, burner, pool = Clutter(), Burner(), PoolLoad(metrics, folder)

    async def fragment_memory(params: Params) -> str:
        # In a thread, so that the bot continues to trade.
        return await asyncio.to_thread(partial(clutter.make, int(params["mebibytes"])))

    async def burn_cpu(params: Params) -> str:
        return burner.burn(int(params["threads"]))

    async def exhaust_pool(params: Params) -> str:
        return await asyncio.to_thread(pool.load, int(params["clients"]))

    return {
        "fragment_memory": Command(
            run=fragment_memory,
            deadline_seconds=DEADLINE_SECONDS,
            required={"mebibytes": None},
            check=partial(_check, name="mebibytes", most=MOST_MEBIBYTES),
        ),
        "burn_cpu": Command(
            run=burn_cpu,
            required={"threads": None},
            check=partial(_check, name="threads", most=MOST_THREADS),
        ),
        "exhaust_pool": Command(
            run=exhaust_pool,
            required={"clients": None},
            check=partial(_check, name="clients", most=MOST_CLIENTS),
        ),
        "scale_pool": Command(
            run=pool.scale,
            required={"percent": None, "seconds": None},
            optional=frozenset({"undoes"}),
        ),
    }


def _check(params: Params, *, name: str, most: int) -> None:
    given = params[name]
    if not given.isdecimal() or not given.isascii() or int(given) > most:
        raise BadRequest(f"params.{name} must be a whole number of at most {most}")
