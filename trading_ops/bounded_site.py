"""Listening with a bound on connections, so that nobody can take them all and keep them.

aiohttp waits for a request's head as long as it takes. Whoever opens connections and says nothing
would use up the process's file descriptors, inside a bot those of its venue too, without a token.
"""

import asyncio
from typing import cast

from aiohttp import web

CONNECTIONS = 64
"""At once; Prometheus and the reconcilers need a handful."""


class BoundedSite(web.TCPSite):
    """Listens as `TCPSite` does; one connection too many ends the oldest."""

    __slots__ = ("_most",)

    def __init__(
        self, runner: web.AppRunner, host: str, port: int, *, connections: int = CONNECTIONS
    ) -> None:
        """Take the runner, which is set up, and where to listen."""
        super().__init__(runner, host, port)
        self._most = connections

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is taken or not ours.
        """
        await web.BaseSite.start(self)
        self._server = await asyncio.get_running_loop().create_server(
            self._connected, self._host, self._port, backlog=self._backlog
        )

    def _connected(self) -> asyncio.Protocol:
        server = cast(web.Server, self._runner.server)  # the runner is set up
        open_now = [one for one in server.connections if one.transport is not None]
        for oldest in open_now[: max(0, len(open_now) + 1 - self._most)]:
            oldest.force_close()
        return server()
