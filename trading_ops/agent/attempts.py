"""Each attempt is carried out once, however often it is asked for."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any

from trading_ops import clock
from trading_ops.agent.commands import BadRequest, Command, CommandFailed, Done, Request, run
from trading_ops.agent.disk import DiskThread
from trading_ops.agent.fence import FenceKeeper
from trading_ops.redaction import redact

ADMIT_SECONDS = 5.0
"""Timeout for storing a fence: the sender of a command does not expect it to start much later."""

SAFE_STORE_SECONDS = 0.5
"""How long the answer to a halt waits for its fence to be stored; the halt itself never waits."""

_logger = logging.getLogger(__name__)

current_attempt: ContextVar[str | None] = ContextVar("current_attempt", default=None)
"""The id of the attempt that is being carried out, in the agent's loop and in the bot's."""


class Attempts:
    """Runs commands, remembers the answers, and refuses senders that were replaced.

    Lives in the agent's loop, which never waits for a disk.
    """

    def __init__(
        self,
        target: str,
        keeper: FenceKeeper,
        disk: DiskThread,
        bot_loop: asyncio.AbstractEventLoop,
        *,
        admit_seconds: float = ADMIT_SECONDS,
    ) -> None:
        """Take the name under which fences are kept, who keeps and writes, and the bot's loop."""
        self._target = target
        self._keeper = keeper
        self._disk = disk
        self._admit_seconds = admit_seconds
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
        # From the first look to the entry in `_running` nothing is awaited, and an answer is kept
        # before its task ends: a second request finds the attempt as running or as answered.
        task = asyncio.create_task(self._carry_out(name, command, request))
        self._running[request.attempt_id] = task
        task.add_done_callback(lambda _: self._running.pop(request.attempt_id, None))
        answer = await asyncio.shield(task)
        return answer | {"repeated": False}

    def told(self, attempt_id: str) -> dict[str, Any] | None:
        """Return the answer to an attempt, that it is running, or None: it was not admitted.

        Raising the fence neither stops nor awaits an attempt that was admitted before, so call this
        afterwards: only None means that nothing was done and nothing fenced will be. An attempt
        that an earlier process started and did not finish has the outcome `unknown`.
        """
        if (answer := self._keeper.answer(attempt_id)) is not None:
            return answer | {"repeated": True}
        if attempt_id in self._running:
            return {"attempt_id": attempt_id, "outcome": "running"}
        if self._keeper.begun(attempt_id) is not None:
            return self._died(attempt_id)
        return None

    async def _carry_out(self, name: str, command: Command, request: Request) -> dict[str, Any]:
        current_attempt.set(request.attempt_id)  # of this task, and of what it starts
        if command.safe_direction:
            # A safe command is accepted from any sender, a replaced one too: to halt
            # twice does no harm, and not to halt may. Nor does it wait for a disk.
            answer = await self._run(name, command, request)
            self._keeper.remember(request.attempt_id, answer)
            with contextlib.suppress(OSError):
                await self._disk.within(SAFE_STORE_SECONDS, partial(self._store_safe, request))
            return answer
        await self._admit(name, request)
        answer = await self._run(name, command, request)
        with contextlib.suppress(OSError):
            await self._disk.run(partial(self._keeper.record, request.attempt_id, answer))
        return answer

    async def _admit(self, name: str, request: Request) -> None:
        """Store the fence and the start of the attempt.

        Raises:
            StaleFence: a higher fence was seen.
            OSError: it was not stored in time.
        """
        mark = {"command": name, "started_at": clock.timestamp()}
        admit = partial(
            self._keeper.admit,
            self._target,
            request.fence,
            attempt_id=request.attempt_id,
            mark=mark,
        )
        admitting = self._disk.begin(admit)
        await asyncio.wait({admitting}, timeout=self._admit_seconds)
        if admitting.done():
            return admitting.result()
        # If the disk stores it after all, this answer says that it has no effect.
        detail = f"nothing was done: the disk did not store it within {self._admit_seconds:g} s"
        answer = {"attempt_id": request.attempt_id, "command": name, "outcome": "failed"}
        self._keeper.remember(request.attempt_id, answer | {"detail": detail})
        admitting.cancel()
        raise OSError(detail)

    def _store_safe(self, request: Request) -> None:
        self._keeper.raise_to(self._target, request.fence)
        self._keeper.store()

    async def _run(self, name: str, command: Command, request: Request) -> dict[str, Any]:
        started_at = clock.timestamp()
        facts: Mapping[str, Any] = {}
        try:
            detail = await run(command, request.params, self._bot_loop)
            outcome = "succeeded"
            if isinstance(detail, Done):
                facts = detail.facts
        except CommandFailed as error:
            outcome, detail = "failed", str(error)
        except Exception as error:  # an answer is required, whatever failed
            _logger.exception("command_failed command=%s", name)
            outcome, detail = "failed", f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            # The bot's loop was closed during the command; the agent's own task still answers.
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
        return answer

    def _died(self, attempt_id: str) -> dict[str, Any]:
        """Return what is known of an attempt that an earlier process did not finish."""
        mark = self._keeper.begun(attempt_id) or {}
        detail = "it was started by a process that has ended; its outcome is unknown"
        answer = {"attempt_id": attempt_id, "outcome": "unknown", "detail": detail}
        return mark | answer | {"repeated": True}

    @staticmethod
    def _repeat(answer: dict[str, Any], name: str) -> dict[str, Any]:
        if answer.get("command") != name:
            raise BadRequest(f"attempt_id was used for the command {answer.get('command')}")
        return answer | {"repeated": True}
