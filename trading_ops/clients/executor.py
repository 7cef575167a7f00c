"""The common part of all executors: fences, and stored answers by attempt id."""

from http import HTTPStatus
from typing import Literal, TypeVar

import msgspec

from trading_ops.clients.http import Http, HttpResponse
from trading_ops.errors import FencedOff, NotOffered, Refused, Unreachable


class CommandResult(msgspec.Struct):
    """The answer to one command."""

    outcome: str
    """`succeeded`, `failed`, `running` or `unknown`.

    `unknown`: the executor process that started it has died since.
    """

    detail: str = ""
    before: str | None = None
    """For a restart: the incarnation that ran when it started."""

    @property
    def succeeded(self) -> bool:
        """Whether the command succeeded."""
        return self.outcome == "succeeded"


R = TypeVar("R", bound=CommandResult)


class Executor:
    """Requests that agents and node processes have in common."""

    def __init__(self, http: Http, *, fence_path: str) -> None:
        self._http = http
        self._fence_path = fence_path

    async def attempt(self, attempt_id: str) -> CommandResult | None:
        """Return the stored answer of an attempt, or None if it never arrived.

        Raises:
            Unreachable: no answer, so the outcome is unknown.
        """
        answer = await self._http.ask("GET", f"/attempts/{attempt_id}")
        if answer.status == 404:  # noqa: PLR2004
            return None
        if answer.status != 200:  # noqa: PLR2004
            raise Unreachable(f"attempt {attempt_id}: HTTP {answer.status}")
        return decode_result(answer.body)

    async def raise_fence(self, fence: int) -> None:
        """Make the executor reject every lower fence from now on, durably.

        Raises:
            Unreachable: no answer; an older command may still arrive.
            Refused: it rejected the request.
        """
        answer = await self._http.ask("POST", self._fence_path, json={"fence": fence})
        if answer.status >= 500:  # noqa: PLR2004
            raise Unreachable(f"raising the fence: HTTP {answer.status}")
        if answer.status != 200:  # noqa: PLR2004
            raise Refused(f"raising the fence: HTTP {answer.status}")


class _Stale(msgspec.Struct):
    error: Literal["stale_fence"]
    highest: int


def refusal(request: str, answer: HttpResponse) -> Refused:
    """Return the error of a clear rejection."""
    text = answer.body[:200].decode(errors="replace")
    message = f"{request}: HTTP {answer.status}: {text}"
    if answer.status == HTTPStatus.NOT_FOUND and b'"unknown_command"' in answer.body:
        return NotOffered(message)
    try:
        stale = msgspec.json.decode(answer.body, type=_Stale)
    except msgspec.DecodeError:
        return Refused(message)
    return FencedOff(message, stale.highest)


def decode_result(body: bytes) -> CommandResult:
    """Read an executor's answer.

    Raises:
        Unreachable: it cannot be read, so the outcome is unknown.
    """
    return decode_as(body, CommandResult)


def decode_as(body: bytes, kind: type[R]) -> R:
    """Decode an executor's answer that has further fields.

    Raises:
        Unreachable: it cannot be read, so the outcome is unknown.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Unreachable(f"invalid response from the executor: {error}") from error
