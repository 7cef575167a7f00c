"""Each attempt is carried out once, however often it is asked for."""

import asyncio
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from trading_ops import clock
from trading_ops.agent.commands import BadRequest, Command, CommandFailed, Done, Request, run
from trading_ops.agent.fence import FenceKeeper
from trading_ops.redaction import redact

_logger = logging.getLogger(__name__)


current_attempt: ContextVar[str | None] = ContextVar("current_attempt", default=None)
"""The id of the attempt that is being carried out, in the agent's loop and in the bot's."""


class Attempts:
    """Runs commands, remembers the answers, and refuses senders that were replaced.

    Lives in the agent's loop.
    """

    def __init__(
        self, target: str, keeper: FenceKeeper, bot_loop: asyncio.AbstractEventLoop
    ) -> None:
        """Take the name under which fences are kept, the keeper and the loop of the bot."""
        self._target = target
        self._keeper = keeper
        self._bot_loop = bot_loop
        self._running: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def perform(self, name: str, command: Command, request: Request) -> dict[str, Any]:
        """Return the answer to an attempt, carrying it out when it is new.

        Raises:
            StaleFence: a higher fence was seen; nothing was done. Never in the safe direction.
            BadRequest: the attempt id was used for another command.
            OSError: the fence could not be stored; nothing was done.
        """
        if (known := self._keeper.answer(request.attempt_id)) is not None:
            return self._repeat(known, name)
        if (running := self._running.get(request.attempt_id)) is not None:
            # The sender lost patience and asks again while the first one still runs.
            return self._repeat(await asyncio.shield(running), name)
        if not command.repeatable and self._keeper.begun(request.attempt_id) is not None:
            return self._died(request.attempt_id)
        # From here to the entry in `_running` nothing is awaited, and an answer is kept before its
        # task ends: whoever asks meanwhile finds an admitted attempt as running or as answered.
        self._admit(name, command, request)
        task = asyncio.create_task(self._carry_out(name, command, request))
        self._running[request.attempt_id] = task
        task.add_done_callback(lambda _: self._running.pop(request.attempt_id, None))
        answer = await asyncio.shield(task)
        return answer | {"repeated": False}

    def told(self, attempt_id: str) -> dict[str, Any] | None:
        """Return the answer to an attempt, that it is still running, or None: it was not admitted.

        Raising the fence neither stops nor awaits what was admitted before, so whoever raised it
        must ask here: only None says that nothing was done, and that nothing fenced will be. One
        that an earlier process had begun and not ended has the outcome `unknown`.
        """
        if (answer := self._keeper.answer(attempt_id)) is not None:
            return answer | {"repeated": True}
        if attempt_id in self._running:
            return {"attempt_id": attempt_id, "outcome": "running"}
        if self._keeper.begun(attempt_id) is not None:
            return self._died(attempt_id)
        return None

    def _admit(self, name: str, command: Command, request: Request) -> None:
        if not command.safe_direction:
            mark = {"command": name, "started_at": clock.timestamp()}
            self._keeper.admit(
                self._target, request.fence, attempt_id=request.attempt_id, mark=mark
            )
            return
        # Whoever asks for the safe direction gets it, a sender that was replaced too: to halt twice
        # does no harm, and not to halt may. Nor does it wait for a disk to be mended.
        try:
            self._keeper.raise_to(self._target, request.fence)
        except OSError as error:
            _logger.error("fence_not_stored error=%s", error)  # noqa: TRY400 - the text says it

    async def _carry_out(self, name: str, command: Command, request: Request) -> dict[str, Any]:
        current_attempt.set(request.attempt_id)  # of this task, and of what it starts
        started_at = clock.timestamp()
        facts: Mapping[str, Any] = {}
        try:
            detail = await run(command, request.params, self._bot_loop)
            outcome = "succeeded"
            if isinstance(detail, Done):
                facts = detail.facts
        except CommandFailed as error:
            outcome, detail = "failed", str(error)
        except Exception as error:  # an answer is due, whatever went wrong
            _logger.exception("command_failed command=%s", name)
            outcome, detail = "failed", f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            # The bot's loop went away under the command; the agent's own task goes on to answer.
            outcome, detail = "failed", "cancelled: the bot is stopping"
        answer = {
            **facts,
            "attempt_id": request.attempt_id,
            "command": name,
            "outcome": outcome,
            "detail": redact(detail),
            "started_at": started_at,
            "ended_at": clock.timestamp(),
        }
        _logger.info("command_ended command=%s outcome=%s detail=%s", name, outcome, detail)
        try:
            self._keeper.record(request.attempt_id, answer)
        except OSError as error:
            _logger.error("answer_not_stored error=%s", error)  # noqa: TRY400
        return answer

    def _died(self, attempt_id: str) -> dict[str, Any]:
        """Return what can be told of an attempt in whose middle an earlier process ended."""
        mark = self._keeper.begun(attempt_id) or {}
        detail = "it was begun by a process that is gone; how far it came is not known"
        answer = {"attempt_id": attempt_id, "outcome": "unknown", "detail": detail}
        return mark | answer | {"repeated": True}

    @staticmethod
    def _repeat(answer: dict[str, Any], name: str) -> dict[str, Any]:
        if answer.get("command") != name:
            raise BadRequest(f"attempt_id was used for the command {answer.get('command')}")
        return answer | {"repeated": True}
