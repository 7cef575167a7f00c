"""The output of `up`: on a terminal a table updated in place, otherwise one line per change."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from trading_ops import clock
from trading_ops.cli.console import out
from trading_ops_lab.cli.process_table import state_label, table

Overview = dict[str, Any]

HINTS = {
    "starting": "Starting …",
    "ready": "Running. Ctrl-C stops everything. In another terminal: trading-ops gameday",
    "stopping": "Stopping … (Ctrl-C again kills what is left)",
    "stopped": "",
}


class LiveStatus:
    """Shows overviews as they arrive."""

    def __init__(self, console: Console | None = None, *, page: str = "") -> None:
        """Count the seconds until everything is ready; then show the console's address."""
        self._page = page
        self._console = console or out()
        self._live = (
            Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        )
        self._shown: dict[str, str] = {}
        self._began = clock.monotonic()
        self._seconds: float | None = None

    def __enter__(self) -> Self:
        """Take over the terminal."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the terminal."""
        if self._live:
            self._live.stop()

    def show(self, overview: Overview) -> None:
        """Show the states after a change."""
        if self._live:
            self._live.update(self._picture(overview), refresh=True)
            return
        for process in overview["processes"]:
            label = state_label(process)
            if self._shown.get(process["unit"], "stopped") != label:
                self._console.print(f"{process['unit']}: {label}", markup=False)
            self._shown[process["unit"]] = label

    def ready(self, overview: Overview) -> None:
        """Show that everything is ready, with the table."""
        self._seconds = clock.monotonic() - self._began
        if self._live:
            self._live.update(self._picture(overview), refresh=True)
        else:
            self._console.print(table(overview))
            self._console.print(f"Ready after {self._seconds:.1f} s. {self._where()}")

    def _picture(self, overview: Overview) -> Group:
        hint = HINTS[overview["stack"]["phase"]]
        if self._seconds is not None and overview["stack"]["phase"] == "ready":
            hint = f"Ready after {self._seconds:.1f} s. {self._where()}\n{hint}"
        return Group(table(overview), Text(hint, style="dim"))

    def _where(self) -> str:
        return f"Console: {self._page}" if self._page else ""
