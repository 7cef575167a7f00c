"""Supervised components of a bot, and its trading state."""

import time
from typing import TYPE_CHECKING

from trading_ops.instrument.metric import Metric, bot_counter, bot_gauge

if TYPE_CHECKING:
    from trading_ops.instrument.recorder import Recorder

COMPONENTS = (
    *("feed", "broker", "signals", "orders", "store", "reconciliation", "risk", "heartbeat"),
    "account_feed",
)
STATES = ("active", "reducing", "halted")

COMPONENT_METRICS: tuple[Metric, ...] = (
    bot_gauge(
        name="trading_state",
        labels=("state",),
        values={"state": STATES},
        vital=True,
        help="1 for the current trading state, 0 for the others.",
        why="A halted bot does not trade; on-call must know.",
    ),
    bot_gauge(
        name="trading_component_up",
        labels=("component",),
        vital=True,
        help="1 if the component is up, else 0.",
        why="Identifies the broken component, which remediation acts on.",
    ),
    bot_gauge(
        name="trading_component_last_success_timestamp_seconds",
        unit="seconds",
        labels=("component",),
        help="Time of the component's last successful work, Unix time; 0: never.",
        why="Shows a component that is up but does nothing.",
    ),
    bot_counter(
        name="trading_component_restarts_total",
        labels=("component",),
        help="Restarts of the component inside the process, manual or after a crash.",
        why="Many restarts mean that restarting does not fix the problem.",
    ),
    bot_gauge(
        name="trading_circuit_breaker_state",
        labels=("component",),
        help="Circuit breaker of the component: 0 closed, 1 half-open, 2 open.",
        why="While open, the component does not call the failing dependency.",
    ),
)


class ComponentMetrics:
    """Records a bot's trading state and components."""

    def trading_state(self, state: str) -> None:
        """Set the trading state: active, reducing or halted."""
        for name, gauge in self._states.items():
            gauge.value = 1 if name == state else 0

    def component_up(self, component: str, *, up: bool) -> None:
        """Set whether the component works."""
        self._component_up.labels(component).value = 1 if up else 0

    def component_succeeded(self, component: str, at: float | None = None) -> None:
        """Record successful work of the component; `at`: seconds since the epoch, None: now."""
        self._component_success.labels(component).value = time.time() if at is None else at

    def component_restarted(self, component: str) -> None:
        """Count a restart of the component inside the process."""
        self._component_restarts.labels(component).value += 1

    def circuit_breaker(self, component: str, state: int) -> None:
        """Set the state of the component's breaker: 0 closed, 1 half-open, 2 open."""
        self._breaker.labels(component).value = state

    def _register_components(
        self, recorder: "Recorder", components: tuple[str, ...], *, at_once: bool
    ) -> None:
        known = {"component": components}
        state = recorder.gauge("trading_state")
        self._states = {name: state.labels(name) for name in STATES}
        self._component_up = recorder.gauge("trading_component_up", known, at_once=at_once)
        self._component_success = recorder.gauge(
            "trading_component_last_success_timestamp_seconds", known, at_once=at_once
        )
        self._component_restarts = recorder.counter("trading_component_restarts_total", known)
        self._breaker = recorder.gauge("trading_circuit_breaker_state", known, at_once=at_once)
