"""The listening socket of the REST and WebSocket port, which a fault can close."""

from aiohttp import web


class Listener:
    """Opens and closes the port of a prepared server."""

    def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
        """Set the address; nothing is opened yet."""
        self._runner, self._host, self._port = runner, host, port
        self._site: web.TCPSite | None = None

    async def follow(self, *, refuse: bool) -> None:
        """Close the port while connections must be refused, else open it.

        Raises:
            OSError: the port is taken.
        """
        if refuse and self._site is not None:
            await self._site.stop()
            self._site = None
            self.drop_connections()
        elif not refuse and self._site is None:
            site = web.TCPSite(self._runner, self._host, self._port, reuse_address=True)
            await site.start()
            self._site = site

    def drop_connections(self) -> None:
        """Reset every open connection."""
        server = self._runner.server
        for connection in server.connections if server is not None else ():
            if connection.transport is not None:
                connection.transport.abort()
