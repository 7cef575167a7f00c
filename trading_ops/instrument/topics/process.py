"""The bot's process: build, start time and progress of its loop."""

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
        help="1 for the current build and mode (paper or live); 0 for a previous mode.",
        why="Shows a failed deployment, or a live bot that should be paper.",
    ),
    bot_gauge(
        name="trading_bot_start_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Start time of the bot's process, Unix time.",
        why="Changes at every restart: shows crash loops and confirms restarts.",
    ),
    bot_gauge(
        name="trading_bot_heartbeat_timestamp_seconds",
        unit="seconds",
        vital=True,
        help="Time of the last complete trading pass, Unix time; process start before the first.",
        why="Detects a process that is alive but does not trade.",
    ),
    bot_gauge(
        name="trading_bot_last_exit",
        labels=("how",),
        values={"how": ENDS},
        help="1 for how the previous process exited, according to the bot's records; absent where "
        "none are kept.",
        why="A crash followed by an immediate restart leaves no other trace.",
    ),
    bot_counter(
        name="trading_bot_unclean_starts_total",
        help="Starts after an unclean exit, according to the bot's records.",
        why="A crash loop makes it grow.",
    ),
    bot_gauge(
        name="trading_event_loop_lag_seconds",
        unit="seconds",
        vital=True,
        help="Last measured delay of a callback in the bot's event loop; grows while blocked.",
        why="A blocked loop delays every order and cancel.",
    ),
    bot_gauge(
        name="trading_memory_uss_bytes",
        unit="bytes",
        help="Unique set size (USS) of the process, read at most once a minute.",
        why="A slope over days is a leak, which ends in an OOM kill.",
    ),
    bot_counter(
        name="trading_agent_refused_total",
        help="Requests that the agent rejected because of their token.",
        why="A client with an old token, or someone guessing tokens.",
    ),
    bot_gauge(
        name="trading_load_throttle_factor",
        help="Factor by which the intervals between passes and probes are extended; 1: not "
        "throttled; absent if the bot does not support it.",
        why="Distinguishes a throttled bot from a slow one.",
    ),
    bot_counter(
        name="trading_undeclared_label_values_total",
        labels=("metric",),
        help="Undeclared label values that were recorded as `other`, by metric.",
        why="A symbol or endpoint is not declared, or the venue added new ones.",
    ),
)


MODES = ("paper", "live")


class ProcessMetrics:
    """Records the progress and state of a bot's process."""

    _readings: Readings
    started_at: float
    """Seconds since the epoch."""

    def heartbeat(self, at: float | None = None) -> None:
        """Record a complete trading pass; `at`: seconds since the epoch, None: now."""
        self._heartbeat.value = time.time() if at is None else at

    @property
    def heartbeat_at(self) -> float:
        """Return the time of the last heartbeat or of the start, seconds since the epoch."""
        return self._heartbeat.value

    def mode(self, mode: str) -> None:
        """Set the mode; the previous one stays at 0."""
        for (_, other), gauge in self._info.children():
            gauge.value = 1 if other == mode else 0
        self._info.labels(self._version, mode).value = 1

    def previous_end(self, how: str, *, unclean: int) -> None:
        """Record the exit of the previous process: clean, crashed or unknown.

        Args:
            how: the kind of exit.
            unclean: starts so far after an unclean exit, including this one.
        """
        only(self._previous_end, how)
        self._unclean_starts.labels().value = max(0, unclean)

    def event_loop_lag(self, seconds: float) -> None:
        """Set the last measured delay of a callback in the event loop."""
        self._loop_lag.value = seconds

    def watch_pauses(self, factor: Callable[[], float]) -> None:
        """Read at each scrape the factor by which pauses are extended; 1: not throttled."""
        self._readings.add(self._throttle.labels(), factor)

    def agent_refused(self) -> None:
        """Count a request that the agent rejected because of its token."""
        self._agent_refused.inc()

    def memory_uss(self, size: int) -> None:
        """Set the USS in bytes."""
        self._memory_uss.value = size

    def _register_process(self, recorder: "Recorder", version: str, mode: str) -> None:
        named = {"version": (version,), "mode": (mode, *MODES)}
        self._version = version
        self._info = recorder.gauge("trading_bot_info", named, at_once=False)
        self._info.labels(version, mode).set(1)
        recorder.gauge("trading_bot_start_timestamp_seconds").labels().set(self.started_at)
        self._heartbeat = recorder.gauge("trading_bot_heartbeat_timestamp_seconds").labels()
        # Not zero, because a rule on the age would fire at each start. This hides a crash loop,
        # which shows in the start time.
        self._heartbeat.value = self.started_at
        self._previous_end = recorder.gauge("trading_bot_last_exit", at_once=False)
        self._unclean_starts = recorder.counter("trading_bot_unclean_starts_total", at_once=False)
        self._loop_lag = recorder.gauge("trading_event_loop_lag_seconds").labels()
        self._agent_refused = recorder.counter("trading_agent_refused_total").labels()
        self._memory_uss = recorder.gauge("trading_memory_uss_bytes").labels()
        self._throttle = recorder.gauge("trading_load_throttle_factor", at_once=False)
