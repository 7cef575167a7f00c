"""Times one statement."""

import time
from types import TracebackType
from typing import Protocol, Self


class Ended(Protocol):
    """Records the end of a statement."""

    def __call__(
        self,
        statement: str,
        *,
        seconds: float,
        error: BaseException | None = None,
        trace_id: str = "",
    ) -> None:
        """Record it."""
        ...


class Query:
    """`with` it, a statement is timed, and its error counted; the error goes on."""

    __slots__ = ("_began", "_ended", "_statement", "_trace_id")

    def __init__(self, ended: Ended, statement: str, trace_id: str) -> None:
        """Take where to record what."""
        self._ended = ended
        self._statement = statement
        self._trace_id = trace_id
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = time.perf_counter() - self._began
        # A cancelled task and an interrupted process are no fault of the database.
        fault = error if isinstance(error, Exception) else None
        self._ended(self._statement, seconds=seconds, error=fault, trace_id=self._trace_id)
