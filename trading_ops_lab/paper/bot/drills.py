"""What only a drill asks of the bot: a fault that nobody can make from outside of its process.

The command is there only where the configuration says `drills`, which the local stack does for bots
of the paper venue. Elsewhere the agent does not know it.
"""

import asyncio
from functools import partial

from trading_ops.agent import BadRequest, Command, Params

DEADLINE_SECONDS = 30.0
MOST_MEBIBYTES = 2048
MEBIBYTE = 1024 * 1024

PIECE = 64 * 1024
"""Below the size from which the C library asks the kernel for each piece by itself."""

PIN = 1000
"""What stays of each MiB: above what Python would keep in arenas of its own."""


class Clutter:
    """Memory that was taken and freed, and that the C library keeps: it has no other owner.

    So it is in many a Python process that has once done something large. Between each MiB that was
    freed lies a little that is still used, so that the heap cannot shrink by itself. Only
    `malloc_trim`, or the end of the process, gives it back.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._pins: list[bytes] = []

    def make(self, mebibytes: int) -> str:
        """Take so much, write to it, and free all but the pins; 0 frees these too."""
        self._pins.clear()
        pieces: list[bytes] = []
        for _ in range(mebibytes):
            pieces += [b"\1" * PIECE for _ in range(MEBIBYTE // PIECE)]
            self._pins.append(b"\1" * PIN)
        pieces.clear()
        return f"{mebibytes} MiB were taken and freed, and the C library keeps them"


def drill_commands(*, allowed: bool) -> dict[str, Command]:
    """Return the commands by name; none where drills are not allowed."""
    if not allowed:
        return {}
    clutter = Clutter()

    async def run(params: Params) -> str:
        # Not in the loop: the bot trades on, as with any other work that is done in a thread.
        return await asyncio.to_thread(partial(clutter.make, int(params["mebibytes"])))

    command = Command(
        run=run,
        deadline_seconds=DEADLINE_SECONDS,
        required={"mebibytes": None},
        check=_check,
    )
    return {"clutter_memory": command}


def _check(params: Params) -> None:
    given = params["mebibytes"]
    if not given.isdecimal() or not given.isascii() or int(given) > MOST_MEBIBYTES:
        raise BadRequest(f"params.mebibytes must be a whole number of at most {MOST_MEBIBYTES}")
