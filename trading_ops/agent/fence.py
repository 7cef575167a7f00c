"""The executor's durable memory: the highest fencing token seen, and the answers given.

The executor uses it to refuse an outdated sender (an older fence), and to answer a repeated attempt
(the same ID) from memory without a second effect. An attempt is recorded as started before its
effect, so an interrupted attempt is never mistaken for one that did not arrive.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trading_ops.agent.durable import read_json, write_json
from trading_ops.errors import SetupError, TradingOpsError

MAXIMUM_FENCE = 2**53 - 1
"""The highest valid fence: exact in JSON, and far below the maximum of a database's INTEGER."""

KEPT_ANSWERS = 256
"""Number of answers kept; attempts are queried within minutes, not after thousands of others."""


class StaleFence(TradingOpsError):
    """Another sender has replaced this one; nothing was done."""

    def __init__(self, highest: int) -> None:
        self.highest = highest
        super().__init__(f"the fence is lower than the highest one seen, {highest}")


class FenceKeeper:
    """Fences by target and answers by attempt ID, in one file; thread-safe.

    Each change is on disk when the call returns, unless stated otherwise. Reads never wait for a
    write. One process owns the file.
    """

    def __init__(self, path: Path, *, kept_answers: int = KEPT_ANSWERS) -> None:
        """Open or create the file; its folder must exist.

        Raises:
            SetupError: the file has other content.
        """
        self._path = path
        self._kept = kept_answers
        self._writing = threading.Lock()
        self._memory = threading.Lock()  # held briefly; readers need neither
        data = read_json(path)
        fences, answers = data.get("fences", {}), data.get("answers", {})
        begun = data.get("begun", {})
        is_valid = all(isinstance(part, dict) for part in (fences, answers, begun))
        # A fence above the maximum, from an older release, is kept: it is refused, and the error
        # says how to reset it.
        if not is_valid or not all(type(fence) is int and fence >= 0 for fence in fences.values()):
            raise SetupError(f"{path} is not a valid fence file. Fix: restore or remove it")
        self._fences: dict[str, int] = fences
        self._answers: dict[str, dict[str, Any]] = answers
        self._begun: dict[str, dict[str, Any]] = begun

    def highest(self, target: str) -> int:
        """Return the highest fence seen for a target, 0 if there was none."""
        return self._fences.get(target, 0)

    def admit(
        self,
        target: str,
        fence: int,
        *,
        attempt_id: str | None = None,
        mark: Mapping[str, Any] | None = None,
    ) -> None:
        """Admit an attempt from a sender with this fence; an equal fence is the same sender.

        Args:
            target: of the attempt.
            fence: the sender's.
            attempt_id: of the attempt, if one starts: `begun` returns its mark until it is
                answered, even after a crash.
            mark: stored with the attempt, for `begun`.

        Raises:
            StaleFence: a higher one was seen.
            OSError: it could not be stored; the sender must not act.
        """
        with self._writing:
            highest = self._fences.get(target, 0)
            if fence < highest:
                raise StaleFence(highest)
            if attempt_id is None:
                self._raise(target, fence)
                return
            fences = {**self._fences, target: fence}
            self._store(fences, self._with_begun(attempt_id, mark))
            with self._memory:
                self._fences, self._begun = fences, self._with_begun(attempt_id, mark)

    def check(self, target: str, fence: int) -> None:
        """Refuse a sender with an older fence, without changing anything.

        Raises:
            StaleFence: a higher one was seen.
        """
        if fence < (highest := self.highest(target)):
            raise StaleFence(highest)

    def raise_to(self, target: str, fence: int) -> int:
        """Refuse senders with a lower fence from now on; return the highest fence seen.

        Raises:
            OSError: it could not be stored.
        """
        with self._writing:
            self._raise(target, fence)
            return self._fences.get(target, 0)

    def answer(self, attempt_id: str) -> dict[str, Any] | None:
        """Return the answer that was given to an attempt, or None."""
        answer = self._answers.get(attempt_id)
        return None if answer is None else dict(answer)

    def begun(self, attempt_id: str) -> dict[str, Any] | None:
        """Return the mark of an attempt that was started and never answered, or None."""
        mark = self._begun.get(attempt_id)
        return None if mark is None else dict(mark)

    def record(self, attempt_id: str, answer: dict[str, Any]) -> None:
        """Store the answer to an attempt; a second one is ignored. The oldest answers are dropped.

        Raises:
            OSError: it could not be stored; it is still known to this process.
        """
        if self.remember(attempt_id, answer):
            self.store()

    def remember(self, attempt_id: str, answer: dict[str, Any]) -> bool:
        """Store an answer in memory only, without waiting; return False if one exists."""
        with self._memory:
            if attempt_id in self._answers:
                return False
            self._answers = self._latest({**self._answers, attempt_id: dict(answer)})
            self._begun = {
                key: attempt for key, attempt in self._begun.items() if key != attempt_id
            }
        return True

    def store(self) -> None:
        """Write the state in memory to disk.

        Raises:
            OSError: it could not be stored.
        """
        with self._writing:
            self._store(self._fences, self._begun)

    def _raise(self, target: str, fence: int) -> None:
        if fence > self._fences.get(target, 0):
            fences = {**self._fences, target: fence}
            self._store(fences, self._begun)
            self._fences = fences

    def _with_begun(
        self, attempt_id: str, mark: Mapping[str, Any] | None
    ) -> dict[str, dict[str, Any]]:
        return self._latest({**self._begun, attempt_id: dict(mark or {})})

    def _latest(self, entries: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return dict(list(entries.items())[-self._kept :])

    def _store(self, fences: dict[str, int], begun: dict[str, dict[str, Any]]) -> None:
        write_json(self._path, {"fences": fences, "answers": self._answers, "begun": begun})
