"""The commands every agent has: halt, reduce and resume. They need nothing of the bot's loop.

`halt` and `reduce` take an `id` for the hold, so that one that is kept elsewhere can be laid on
again after a restart. `resume` takes `holds`, a comma-separated list of ids; without it, it lifts
them all.
"""

import uuid
from collections.abc import Awaitable, Callable

from trading_ops import clock
from trading_ops.agent.commands import Command, CommandFailed, Params
from trading_ops.agent.state import Hold, Holds, TradingState

WHO_AND_WHY: dict[str, frozenset[str] | None] = {"owner": None, "reason": None}


def holding_commands(holds: Holds) -> dict[str, Command]:
    """Return the commands that lay holds on and lift them."""

    async def halt(params: Params) -> str:
        return _lay(holds, TradingState.HALTED, params)

    async def reduce(params: Params) -> str:
        return _lay(holds, TradingState.REDUCING, params)

    async def resume(params: Params) -> str:
        return _lift(holds, params)

    return {
        "halt": _command(halt, "id", safe=True),
        "reduce": _command(reduce, "id", safe=True),
        "resume": _command(resume, "holds", safe=False),
    }


def _command(run: Callable[[Params], Awaitable[str]], optional: str, *, safe: bool) -> Command:
    return Command(
        run=run,
        required=WHO_AND_WHY,
        optional=frozenset({optional}),
        in_agent=True,
        safe_direction=safe,
    )


def _lay(holds: Holds, state: TradingState, params: Params) -> str:
    hold = Hold(
        id=params.get("id") or f"{state}-{uuid.uuid4()}",
        state=state,
        owner=params["owner"],
        reason=params["reason"],
        at=clock.timestamp(),
    )
    try:
        holds.lay(hold)
    except OSError as error:
        raise CommandFailed(
            f"{state} is in force, but a restart would forget it: {error}"
        ) from error
    return f"hold {hold.id} was laid on; the state is {holds.state}"


def _lift(holds: Holds, params: Params) -> str:
    ids = frozenset(params["holds"].split(",")) if "holds" in params else None
    try:
        count = holds.lift(owner=params["owner"], reason=params["reason"], ids=ids)
    except OSError as error:
        raise CommandFailed(f"nothing was lifted: {error}") from error
    return f"{count} holds were lifted by {params['owner']}; the state is {holds.state}"
