"""Keeps the components running, each in a task of its own."""

import asyncio
import contextlib
from collections.abc import Iterable

from trading_ops import logs
from trading_ops.agent import CommandFailed
from trading_ops.botkit.component import Component

RESTART_PAUSE = 0.2
"""Seconds between a crash and the next start, so that a crash loop leaves room for the rest."""

log = logs.get(__name__)


class Supervisor:
    """Starts a component again when it ends, as fast as its breaker allows."""

    def __init__(self, components: Iterable[Component]) -> None:
        """Take the components in the order in which they are started."""
        self.components = {component.name: component for component in components}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # Two restarts at once, or one during the end, must not leave a component running twice.
        self._turns = {name: asyncio.Lock() for name in self.components}
        self._stopped: set[str] = set()

    def start(self, *names: str) -> None:
        """Start these, or all that were not started yet."""
        for name in names or self.components:
            if name not in self._tasks:
                self._start(self.components[name])

    def runs(self, name: str) -> bool:
        """Say whether a component was started and not ended; a plain read."""
        return name in self._tasks

    async def restart(self, name: str, *, within: float) -> str:
        """Replace a component's task and what it holds; wait until it is up again.

        Raises:
            CommandFailed: it did not come up in time, and goes on trying; or the bot is stopping.
        """
        component = self.components[name]
        async with self._turns[name]:
            if name in self._stopped:
                raise CommandFailed(f"{name} is not restarted: the bot is stopping")
            if not self.runs(name):
                raise CommandFailed(f"{name} does not run here: this instance is a standby")
            await self._end(name)
            await component.close()
            component.mark(up=False, detail="restarting")
            component.metrics.component_restarted(name)
            component.breaker.reset()
            self._start(component)
        try:
            async with asyncio.timeout(within):
                await component.wait_up()
        except TimeoutError as error:
            raise CommandFailed(
                f"{name} is not up after {within:g} s: {component.detail}"
            ) from error
        return f"{name} was restarted and is up: {component.detail}"

    async def stop(self, *names: str) -> None:
        """End these components, or all, the last started first, for good."""
        for name in reversed(names or tuple(self.components)):
            async with self._turns[name]:
                self._stopped.add(name)
                await self._end(name)
                await self.components[name].close()

    def _start(self, component: Component) -> None:
        task = asyncio.create_task(self._keep(component), name=f"component-{component.name}")
        self._tasks[component.name] = task

    async def _end(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep(self, component: Component) -> None:
        while True:
            try:
                await component.run()
                component.fail("it ended by itself")
            except Exception as error:  # whatever it was, the component must not stay away
                log.exception("component_crashed", component=component.name)
                component.fail(f"{type(error).__name__}: {error}")
            component.mark(up=False, detail=component.detail)
            component.metrics.component_restarted(component.name)
            # The trial itself is left to the component, which knows what succeeds.
            await asyncio.sleep(max(RESTART_PAUSE, component.breaker.cooling_seconds()))
