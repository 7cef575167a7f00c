"""Someone outside who pages when the sign of life stops: what a dead man's switch service does.

It knows nothing of Prometheus or Alertmanager. It is called, and when it was not called for too
long it pages once; when it is called again, that is over.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Witness:
    """Waits for calls, from the first one on."""

    patience: float
    """Seconds without a call after which it pages."""

    address: str = ""
    calls: int = 0
    bodies: list[bytes] = field(default_factory=list)
    pages: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    silent: bool = False
    """Whether it has paged, and was not called since."""

    _called: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where it wants to be called."""
        return f"http://{self.address}/ping/of-trading-ops"

    async def called(self, request: web.Request) -> web.Response:
        """Take a call."""
        self.bodies.append(await request.read())
        self.calls += 1
        self.silent = False
        self._called.set()
        return web.Response(text="OK")

    async def watch(self) -> None:
        """Page whenever no one called for too long."""
        await self._called.wait()
        while True:
            self._called.clear()
            try:
                await asyncio.wait_for(self._called.wait(), self.patience)
            except TimeoutError:
                self.silent = True
                self.pages.put_nowait(f"not called for {self.patience:g} s")
                await self._called.wait()


@asynccontextmanager
async def run_witness(patience: float) -> AsyncIterator[Witness]:
    """Listen on a free port until the end of the block."""
    witness = Witness(patience)
    application = web.Application()
    application.router.add_post("/ping/of-trading-ops", witness.called)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    witness.address = "{}:{}".format(*runner.addresses[0])
    watching = asyncio.create_task(witness.watch())
    try:
        yield witness
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await runner.cleanup()
