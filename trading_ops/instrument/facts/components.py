"""The trading state, and the parts of a bot."""

import time

from trading_ops.instrument.entries.components import STATES
from trading_ops.instrument.recorder import Recorder


class ComponentFacts:
    """What a bot says of its state and of its parts."""

    def trading_state(self, state: str) -> None:
        """This trading state holds from now on: active, reducing or halted."""
        for name, gauge in self._states.items():
            gauge.value = 1 if name == state else 0

    def component_up(self, component: str, *, up: bool) -> None:
        """The component can do its work, or cannot."""
        self._component_up.labels(component).value = 1 if up else 0

    def component_succeeded(self, component: str, at: float | None = None) -> None:
        """The component did its work, now or at this time in seconds since the epoch."""
        self._component_success.labels(component).value = time.time() if at is None else at

    def component_restarted(self, component: str) -> None:
        """The component was restarted inside the process."""
        self._component_restarts.labels(component).value += 1

    def circuit_breaker(self, component: str, state: int) -> None:
        """The component's breaker is closed (0), half-open (1) or open (2)."""
        self._breaker.labels(component).value = state

    def _register_components(
        self, recorder: Recorder, components: tuple[str, ...], *, at_once: bool
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
