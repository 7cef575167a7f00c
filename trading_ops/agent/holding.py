"""The commands that every agent has: halt, reduce and resume. They do not need the bot's loop.

`halt` and `reduce` accept an `id` for the hold, so that the reconciler can place it again after a
restart; of two with the same ID the stricter one wins. `resume` must name the holds to release:
`holds` is a comma-separated list of IDs, or `all`. Its answer lists what it released, because the
reconciler may not know all of them.
"""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial

from trading_ops import clock
from trading_ops.agent.commands import BadRequest, Command, CommandFailed, Done, Params
from trading_ops.agent.confirmation import HoldsConfirmation
from trading_ops.agent.disk import DiskThread
from trading_ops.agent.state import Holds, TradingHold, TradingState

WHO_AND_WHY: dict[str, frozenset[str] | None] = {"owner": None, "reason": None}

ALL = "all"
"""Releases every hold; no hold may have this ID."""


STORE_SECONDS = 1.0
"""How long an answer waits for the disk: less than the sender's timeout."""


def holding_commands(holds: Holds, disk: DiskThread) -> dict[str, Command]:
    """Return the commands that place and release holds."""

    async def halt(params: Params) -> str:
        return await _place(holds, disk, TradingState.HALTED, params)

    async def reduce(params: Params) -> str:
        return await _place(holds, disk, TradingState.REDUCING, params)

    async def resume(params: Params) -> Done:
        return await _release(holds, disk, params)

    return {
        "halt": _hold_command(halt),
        "reduce": _hold_command(reduce),
        "resume": Command(
            run=resume,
            required=WHO_AND_WHY | {"holds": None},
            in_agent=True,
            # A repeated resume must not release a hold that was placed after it.
            repeatable=False,
            check=_check_named,
        ),
    }


def confirming(confirmation: HoldsConfirmation, incarnation: Callable[[], str]) -> Command:
    """Return the command with which the reconciler confirms the holds of one process.

    It names the incarnation: a late confirmation must not count for the next process.
    """

    async def confirm(params: Params) -> str:
        if params["incarnation"] != incarnation():
            raise CommandFailed(f"this process is {incarnation()}, not {params['incarnation']}")
        confirmation.confirm()
        return "the holds are confirmed"

    return Command(run=confirm, required={"incarnation": None}, in_agent=True)


def _hold_command(run: Callable[[Params], Awaitable[str]]) -> Command:
    return Command(
        run=run,
        required=WHO_AND_WHY,
        optional=frozenset({"id"}),
        in_agent=True,
        safe_direction=True,
        check=_check_id,
    )


def _check_id(params: Params) -> None:
    name = params.get("id", "")
    if name == ALL or "," in name or name != name.strip():
        raise BadRequest(f"params.id must not be {ALL!r} or contain commas or surrounding spaces")


def _check_named(params: Params) -> None:
    names = _named(params)
    if not names or (ALL in names and names != {ALL}):
        raise BadRequest(f"params.holds must name ids, separated by commas, or be {ALL!r}")


def _named(params: Params) -> frozenset[str]:
    return frozenset(name for part in params["holds"].split(",") if (name := part.strip()))


async def _place(holds: Holds, disk: DiskThread, state: TradingState, params: Params) -> str:
    hold = TradingHold(
        id=params.get("id") or f"{state}-{uuid.uuid4()}",
        state=state,
        owner=params["owner"],
        reason=params["reason"],
        at=clock.timestamp(),
    )
    active = holds.put(hold)
    done = f"hold {active.id} is in force as {active.state}; the state is {holds.state}"
    try:
        stored = await disk.within(STORE_SECONDS, partial(holds.keep, active))
    except OSError as error:
        raise CommandFailed(
            f"{state} is in force, but it would be lost on restart: {error}"
        ) from error
    # Until the disk has stored it, a restart would lose it; the sender stores it too.
    return done if stored else f"{done}; the disk has not stored it yet"


async def _release(holds: Holds, disk: DiskThread, params: Params) -> Done:
    ids = _named(params)
    release = partial(
        holds.release,
        owner=params["owner"],
        reason=params["reason"],
        ids=None if ids == {ALL} else ids,
    )
    try:
        released = await disk.run(release)
    except OSError as error:
        raise CommandFailed(f"no hold was released: {error}") from error
    detail = f"{len(released)} holds were released by {params['owner']}; the state is {holds.state}"
    return Done(detail, {"released": [asdict(hold) for hold in released]})
