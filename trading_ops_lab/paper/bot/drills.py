"""Commands for drills: faults that cannot be injected from outside the bot's process.

They exist only if the configuration has `drills`, which the local stack sets for the bots of its
paper venue.
"""

import asyncio
from functools import partial

from trading_ops.agent import BadRequest, Command, Params

DEADLINE_SECONDS = 30.0
MOST_MEBIBYTES = 2048
MEBIBYTE = 1024 * 1024

PIECE = 64 * 1024
"""In bytes; below the size from which the C library maps each allocation separately."""

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


def drill_commands(*, allowed: bool) -> dict[str, Command]:
    """Return the commands by name; none if drills are not allowed."""
    if not allowed:
        return {}
    clutter = Clutter()

    async def run(params: Params) -> str:
        # In a thread, so that the bot continues to trade.
        return await asyncio.to_thread(partial(clutter.make, int(params["mebibytes"])))

    command = Command(
        run=run,
        deadline_seconds=DEADLINE_SECONDS,
        required={"mebibytes": None},
        check=_check,
    )
    return {"fragment_memory": command}


def _check(params: Params) -> None:
    given = params["mebibytes"]
    if not given.isdecimal() or not given.isascii() or int(given) > MOST_MEBIBYTES:
        raise BadRequest(f"params.mebibytes must be a whole number of at most {MOST_MEBIBYTES}")
