"""The executor's own guard: the highest fencing token seen, and the answers given.

Whoever carries out an effect keeps these durably, so that a sender that was replaced (an older
fence) is refused, and one that asks twice (the same attempt id) gets the first answer again
without a second effect.
"""

import threading
from pathlib import Path
from typing import Any

from trading_ops.agent.durable import read_json, write_json
from trading_ops.errors import SetupError, TradingOpsError

KEPT_ANSWERS = 256
"""Answers that are kept; an attempt is asked about within minutes, not thousands of attempts on."""


class StaleFence(TradingOpsError):
    """The sender was replaced by another one: nothing was done."""

    def __init__(self, highest: int) -> None:
        """Tell the highest fence that was seen."""
        self.highest = highest
        super().__init__(f"the fence is lower than the highest one seen, {highest}")


class FenceKeeper:
    """Fences by target and answers by attempt id, in one file; safe to call from any thread.

    Each change is on the disk when the call returns. One process owns the file.
    """

    def __init__(self, path: Path, *, kept_answers: int = KEPT_ANSWERS) -> None:
        """Open or create the file; its folder must exist.

        Raises:
            SetupError: the file holds something else.
        """
        self._path = path
        self._kept = kept_answers
        self._lock = threading.Lock()
        data = read_json(path)
        fences, answers = data.get("fences", {}), data.get("answers", {})
        if not isinstance(fences, dict) or not isinstance(answers, dict):
            raise SetupError(f"{path} is no fence file. Fix: restore or remove it")
        self._fences: dict[str, int] = fences
        self._answers: dict[str, dict[str, Any]] = answers

    def highest(self, target: str) -> int:
        """Return the highest fence seen for a target, 0 when there was none."""
        with self._lock:
            return self._fences.get(target, 0)

    def admit(self, target: str, fence: int) -> None:
        """Let a sender with this fence act; an equal one is the same holder.

        Raises:
            StaleFence: a higher one was seen.
            OSError: the new fence could not be stored; the sender must not act.
        """
        with self._lock:
            highest = self._fences.get(target, 0)
            if fence < highest:
                raise StaleFence(highest)
            self._raise(target, fence)

    def raise_to(self, target: str, fence: int) -> int:
        """Shut out senders with a lower fence; return the highest one now seen.

        Raises:
            OSError: it could not be stored.
        """
        with self._lock:
            self._raise(target, fence)
            return self._fences.get(target, 0)

    def answer(self, attempt_id: str) -> dict[str, Any] | None:
        """Return the answer that was given to an attempt, or None."""
        with self._lock:
            answer = self._answers.get(attempt_id)
            return None if answer is None else dict(answer)

    def record(self, attempt_id: str, answer: dict[str, Any]) -> None:
        """Keep the answer to an attempt; the first one stands. The oldest ones are dropped.

        Raises:
            OSError: it could not be stored; it is still known to this process.
        """
        with self._lock:
            if attempt_id in self._answers:
                return
            self._answers[attempt_id] = dict(answer)
            while len(self._answers) > self._kept:
                del self._answers[next(iter(self._answers))]
            self._store(self._fences)

    def _raise(self, target: str, fence: int) -> None:
        if fence > self._fences.get(target, 0):
            fences = {**self._fences, target: fence}
            self._store(fences)
            self._fences = fences

    def _store(self, fences: dict[str, int]) -> None:
        write_json(self._path, {"fences": fences, "answers": self._answers})
