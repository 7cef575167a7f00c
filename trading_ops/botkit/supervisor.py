"""Runs each component of the bot in its own asyncio task and restarts it when it ends."""

import asyncio
import contextlib
from collections.abc import Iterable

from trading_ops import logs
from trading_ops.agent import CommandFailed
from trading_ops.botkit.component import Component

RESTART_PAUSE_SECONDS = 0.2
"""Minimum pause between a crash and the next start, so that crashes cannot starve the loop."""

log = logs.get(__name__)


class Supervisor:
    """Restarts components that end, after a pause and the cool-off of their breaker.

    Example:
        supervisor = Supervisor([store, broker, feed])
        supervisor.start()
        await supervisor.restart("feed", within=5.0)
        ...
        await supervisor.stop()
    """

    def __init__(self, components: Iterable[Component]) -> None:
        """Supervise these components; they are started in this order and stopped in reverse."""
        self.components = {component.name: component for component in components}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # Concurrent restarts, or a restart during shutdown, must not run a component twice.
        self._locks = {name: asyncio.Lock() for name in self.components}
        self._stopped: set[str] = set()

    def start(self, *names: str) -> None:
        """Start the named components, or all; those already started are left as they are."""
        for name in names or self.components:
            if name not in self._tasks:
                self._start(self.components[name])

    def running(self, name: str) -> bool:
        """Return whether a component was started and not stopped. Thread-safe."""
        return name in self._tasks

    async def restart(self, name: str, *, within: float) -> str:
        """Cancel a component's task, close it, start it again and wait until it is up.

        Args:
            name: of the component.
            within: seconds to wait until it is up.

        Returns:
            A message for the caller of the command.

        Raises:
            CommandFailed: it is not up in time (it keeps trying), it is not started on this
                instance, or the bot is stopping.
            KeyError: there is no component of this name.
        """
        component = self.components[name]
        async with self._locks[name]:
            if name in self._stopped:
                raise CommandFailed(f"{name} is not restarted: the bot is stopping")
            if not self.running(name):
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
        """Stop the named components, or all, in reverse order; they cannot be started again."""
        for name in reversed(names or tuple(self.components)):
            async with self._locks[name]:
                self._stopped.add(name)
                await self._end(name)
                await self.components[name].close()

    def _start(self, component: Component) -> None:
        task = asyncio.create_task(self._supervise(component), name=f"component-{component.name}")
        self._tasks[component.name] = task

    async def _end(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _supervise(self, component: Component) -> None:
        while True:
            try:
                await component.run()
                component.fail("its task ended unexpectedly")
            except Exception as error:  # any error: the component must be restarted
                log.exception("component_crashed", component=component.name)
                component.fail(f"{type(error).__name__}: {error}")
            component.mark(up=False, detail=component.detail)
            component.metrics.component_restarted(component.name)
            # The component itself makes the breaker's trial call: it knows what a success is.
            await asyncio.sleep(max(RESTART_PAUSE_SECONDS, component.breaker.seconds_until_trial()))
