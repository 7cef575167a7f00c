"""Commands of a bot, and the validation of one request."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from trading_ops.agent.fence import MAXIMUM_FENCE
from trading_ops.errors import TradingOpsError

MAXIMUM_TEXT = 500
"""Maximum characters of a parameter: a reason is a sentence, not a document."""

MAXIMUM_ID = 128
Params = Mapping[str, str]


class CommandFailed(TradingOpsError):
    """A command failed; the message has the reason."""


class BadRequest(TradingOpsError):
    """Invalid request; nothing was done."""


class Done(str):
    """The result as a sentence, and facts as further fields of the answer, for programs."""

    __slots__ = ("facts",)
    facts: Mapping[str, Any]

    def __new__(cls, detail: str, facts: Mapping[str, Any]) -> Self:
        """Set the sentence and the facts, which must be valid JSON."""
        done = super().__new__(cls, detail)
        done.facts = facts
        return done


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of a bot."""

    run: Callable[[Params], Awaitable[str]]
    """Runs the command and returns the result as a sentence; raises CommandFailed if it fails.

    Runs in the bot's own loop. It may be cancelled when its deadline passes.
    """

    deadline_seconds: float = 10.0
    required: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    """Its parameters, with the values that each may take, or None for any text."""

    optional: frozenset[str] = frozenset()
    in_agent: bool = False
    """True: runs in the agent's loop, so that it works while the bot's is stuck."""

    safe_direction: bool = False
    """True: only lowers risk, and can be repeated.

    It runs with any fence, and even if the fence cannot be stored.
    """

    repeatable: bool = True
    """False: an attempt during which the process died is not started again if it is repeated."""

    check: Callable[[Params], None] = lambda _: None
    """Raises BadRequest for parameters with valid names and types but invalid values."""


@dataclass(frozen=True, kw_only=True)
class CommandRequest:
    """One POST to /commands/{name}, checked."""

    attempt_id: str
    fence: int
    params: Params


def parse_fence(body: object) -> int:
    """Return the fence in a request's body.

    Raises:
        BadRequest: it is missing or not a whole number in the valid range.
    """
    fence = body.get("fence") if isinstance(body, dict) else None
    if not isinstance(fence, int) or isinstance(fence, bool) or not 0 <= fence <= MAXIMUM_FENCE:
        raise BadRequest("fence must be a whole number, zero or more")
    return fence


def parse_request(body: object, command: Command) -> CommandRequest:
    """Check the body of a request against its command.

    Raises:
        BadRequest: names the field and its valid values.
    """
    fence = parse_fence(body)
    fields: dict[str, Any] = body if isinstance(body, dict) else {}
    attempt_id, params = fields.get("attempt_id"), fields.get("params", {})
    if not isinstance(attempt_id, str) or not 0 < len(attempt_id) <= MAXIMUM_ID:
        raise BadRequest(f"attempt_id must be a string of 1 to {MAXIMUM_ID} characters")
    if not isinstance(params, dict):
        raise BadRequest("params must be an object")
    _check_params(params, command)
    return CommandRequest(attempt_id=attempt_id, fence=fence, params=params)


def _check_params(params: dict[str, Any], command: Command) -> None:
    if missing := sorted(command.required.keys() - params.keys()):
        raise BadRequest(f"params.{missing[0]} is missing")
    if unknown := sorted(params.keys() - command.required.keys() - command.optional):
        raise BadRequest(f"params.{unknown[0]} is unknown")
    for name, value in params.items():
        if not isinstance(value, str) or not 0 < len(value) <= MAXIMUM_TEXT:
            raise BadRequest(f"params.{name} must be a string of 1 to {MAXIMUM_TEXT} characters")
        choices = command.required.get(name)
        if choices is not None and value not in choices:
            raise BadRequest(f"params.{name} must be one of {', '.join(sorted(choices))}")
    command.check(params)


async def run(command: Command, params: Params, bot_loop: asyncio.AbstractEventLoop) -> str:
    """Run a command in its loop, within its deadline; return what was done.

    A command that waits for a stuck loop is cancelled: it must not run minutes later, when it is
    no longer expected.

    Raises:
        CommandFailed: it failed, or did not finish in time; it may have taken effect in part.
    """
    try:
        async with asyncio.timeout(command.deadline_seconds):
            if command.in_agent:
                return await command.run(params)
            return await _in_bot(command, params, bot_loop)
    except TimeoutError as error:
        raise CommandFailed(
            f"not finished within {command.deadline_seconds:g} s: the bot's loop or a dependency "
            "is stuck"
        ) from error


async def _in_bot(command: Command, params: Params, bot_loop: asyncio.AbstractEventLoop) -> str:
    abandoned = threading.Event()

    async def call() -> str:
        # asyncio runs the first step of a task even if it was cancelled from another thread.
        return "" if abandoned.is_set() else await command.run(params)

    coroutine = call()
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, bot_loop)
    except RuntimeError as error:
        coroutine.close()
        raise CommandFailed("the bot's loop is closed: the process is ending") from error
    try:
        return await asyncio.wrap_future(future)
    finally:
        abandoned.set()
