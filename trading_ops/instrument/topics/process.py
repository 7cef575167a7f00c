"""The bot's process: what runs, since when, and whether its loop gets on."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge
from trading_ops.instrument.readings import Readings
from trading_ops.instrument.recording import only

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

ENDS = ("clean", "crashed", "unknown")

PROCESS_OF_A_BOT: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_bot_info",
        labels=("version", "mode"),
        help="1; tells the build, and the mode: paper or live. A mode that was left stays as 0.",
        why="A deployment that did not arrive, or a live bot where a paper one was meant.",
    ),
    bot_gauge(
        name="trading_bot_start_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time at which this process of the bot started, since the epoch.",
        why="Changes at every restart: crash loops show, and a restart is proven.",
    ),
    bot_gauge(
        name="trading_bot_heartbeat_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time of the last whole trading pass, since the epoch; the start until the first one.",
        why="Work done: a process that is alive but does not trade stops it.",
    ),
    bot_gauge(
        name="trading_bot_last_exit",
        labels=("how",),
        values={"how": ENDS},
        help="1 for how the life before this one ended, as the bot's records tell; absent where "
        "none are kept.",
        why="A crash that a service manager mended at once leaves no other trace.",
    ),
    bot_counter(
        name="trading_bot_unclean_starts_total",
        help="Starts after a life that did not end in order, counted in the bot's records.",
        why="A crash loop is one number that grows, over all restarts.",
    ),
    bot_gauge(
        name="trading_event_loop_lag_seconds",
        unit="seconds",
        vital=True,
        help="Time for which the bot's event loop last let a callback wait; grows while stuck.",
        why="A blocked loop delays every order and cancel.",
    ),
    bot_gauge(
        name="trading_memory_uss_bytes",
        unit="bytes",
        help="Memory that belongs to this process alone, read at most once a minute.",
        why="A slope over days is a leak; it ends in the kernel killing the bot.",
    ),
    bot_counter(
        name="trading_agent_refused_total",
        help="Requests that the agent refused because of their token.",
        why="A client with an old token, or someone who tries tokens.",
    ),
    bot_gauge(
        name="trading_load_throttle_factor",
        help="By how much the pauses between passes and probes are stretched; 1: not at all; "
        "absent where that cannot be done.",
        why="A bot that trades slowly because it was told to looks like one that is slow.",
    ),
    bot_counter(
        name="trading_undeclared_label_values_total",
        labels=("metric",),
        help="Label values that were not declared and went to the series `other`, by metric.",
        why="Somebody forgot to declare a symbol or an endpoint, or the venue invents new ones.",
    ),
)


MODES = ("paper", "live")


class ProcessMetrics:
    """What a bot says of its process."""

    _readings: Readings
    started_at: float
    """Seconds since the epoch."""

    def heartbeat(self, at: float | None = None) -> None:
        """A whole trading pass was done, now or at this time in seconds since the epoch."""
        self._heartbeat.value = time.time() if at is None else at

    @property
    def heartbeat_at(self) -> float:
        """Time of the last heartbeat, seconds since the epoch; the start until the first one."""
        return self._heartbeat.value

    def mode(self, mode: str) -> None:
        """The bot is in this mode from now on; the one that it left stays as 0."""
        for (_, other), gauge in self._info.children():
            gauge.value = 1 if other == mode else 0
        self._info.labels(self._version, mode).value = 1

    def previous_end(self, how: str, *, unclean: int) -> None:
        """How the life before this one ended: clean, crashed or unknown.

        Args:
            how: it ended.
            unclean: starts so far, this one included, after a life that did not end in order.
        """
        only(self._previous_end, how)
        self._unclean_starts.labels().value = max(0, unclean)

    def event_loop_lag(self, seconds: float) -> None:
        """The event loop let a callback wait for so long."""
        self._loop_lag.value = seconds

    def watch_pauses(self, factor: Callable[[], float]) -> None:
        """Read at each scrape by how much the bot's pauses are stretched; 1: not at all."""
        self._readings.add(self._throttle.labels(), factor)

    def agent_refused(self) -> None:
        """The agent refused a request because of its token."""
        self._agent_refused.inc()

    def memory_uss(self, size: int) -> None:
        """The process has so many bytes for itself alone."""
        self._memory_uss.value = size

    def _register_process(self, recorder: "Recorder", version: str, mode: str) -> None:
        named = {"version": (version,), "mode": (mode, *MODES)}
        self._version = version
        self._info = recorder.gauge("trading_bot_info", named, at_once=False)
        self._info.labels(version, mode).set(1)
        recorder.gauge("trading_bot_start_timestamp_seconds").labels().set(self.started_at)
        self._heartbeat = recorder.gauge("trading_bot_heartbeat_timestamp_seconds").labels()
        # Not zero: a rule on the age would fire at each start. A crash loop, which this hides,
        # shows in the start time.
        self._heartbeat.value = self.started_at
        self._previous_end = recorder.gauge("trading_bot_last_exit", at_once=False)
        self._unclean_starts = recorder.counter("trading_bot_unclean_starts_total", at_once=False)
        self._loop_lag = recorder.gauge("trading_event_loop_lag_seconds").labels()
        self._agent_refused = recorder.counter("trading_agent_refused_total").labels()
        self._memory_uss = recorder.gauge("trading_memory_uss_bytes").labels()
        self._throttle = recorder.gauge("trading_load_throttle_factor", at_once=False)
