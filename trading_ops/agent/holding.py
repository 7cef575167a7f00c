"""The commands every agent has: halt, reduce and resume. They need nothing of the bot's loop.

`halt` and `reduce` take an `id` for the hold, so that one that is kept elsewhere can be laid on
again after a restart; of two words with one id the stricter stands. `resume` must say which holds
it lifts: `holds` is a list of ids, separated by commas, or the one word `all`. Its answer names in
`lifted` those that it did lift, as they were: whoever keeps holds too may not have heard of them.
"""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from trading_ops import clock
from trading_ops.agent.commands import BadRequest, Command, CommandFailed, Done, Params
from trading_ops.agent.state import Hold, Holds, TradingState

WHO_AND_WHY: dict[str, frozenset[str] | None] = {"owner": None, "reason": None}

ALL = "all"
"""Lifts every hold; therefore no hold may be called so."""


def holding_commands(holds: Holds) -> dict[str, Command]:
    """Return the commands that lay holds on and lift them."""

    async def halt(params: Params) -> str:
        return _lay(holds, TradingState.HALTED, params)

    async def reduce(params: Params) -> str:
        return _lay(holds, TradingState.REDUCING, params)

    async def resume(params: Params) -> Done:
        return _lift(holds, params)

    return {
        "halt": _laying(halt),
        "reduce": _laying(reduce),
        "resume": Command(
            run=resume,
            required=WHO_AND_WHY | {"holds": None},
            in_agent=True,
            # Said once, it must not lift what was laid after that.
            repeatable=False,
            check=_check_named,
        ),
    }


def _laying(run: Callable[[Params], Awaitable[str]]) -> Command:
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
        raise BadRequest(f"params.id must be no {ALL!r}, and hold no comma nor outer spaces")


def _check_named(params: Params) -> None:
    names = _named(params)
    if not names or (ALL in names and names != {ALL}):
        raise BadRequest(f"params.holds must name ids, separated by commas, or be {ALL!r}")


def _named(params: Params) -> frozenset[str]:
    return frozenset(name for part in params["holds"].split(",") if (name := part.strip()))


def _lay(holds: Holds, state: TradingState, params: Params) -> str:
    hold = Hold(
        id=params.get("id") or f"{state}-{uuid.uuid4()}",
        state=state,
        owner=params["owner"],
        reason=params["reason"],
        at=clock.timestamp(),
    )
    try:
        standing = holds.lay(hold)
    except OSError as error:
        raise CommandFailed(
            f"{state} is in force, but a restart would forget it: {error}"
        ) from error
    return f"hold {standing.id} stands as {standing.state}; the state is {holds.state}"


def _lift(holds: Holds, params: Params) -> Done:
    ids, before = _named(params), holds.holds
    try:
        count = holds.lift(
            owner=params["owner"], reason=params["reason"], ids=None if ids == {ALL} else ids
        )
    except OSError as error:
        raise CommandFailed(f"nothing was lifted: {error}") from error
    detail = f"{count} holds were lifted by {params['owner']}; the state is {holds.state}"
    # Only this thread changes them, and nothing was awaited since.
    gone = [asdict(hold) for hold in before if hold not in holds.holds]
    return Done(detail, {"lifted": gone})
