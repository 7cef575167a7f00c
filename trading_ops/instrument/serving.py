"""A plain `/metrics` server for a bot without the agent: one thread, standard library only.

    metrics = BotMetrics(version="1", mode="paper")
    served = serve_metrics(metrics, token_file="var/secrets/metrics_token")
    ...
    served.close()

It serves the same paths as the agent, but no commands: such a bot is only monitored.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
import threading
from pathlib import Path
from urllib.parse import parse_qs

from trading_ops.instrument.bot import BotMetrics
from trading_ops.instrument.exposition import Exposition, View
from trading_ops.instrument.requests import (
    HEAD_LIMIT,
    BadHead,
    Request,
    Response,
    bearer_is_one_of,
    parse_head,
)

READ_SECONDS = 5.0
"""Time limit for receiving the whole head of a request."""

WRITE_SECONDS = 10.0
"""Time limit for sending a response; the same as Prometheus' scrape timeout."""

LINGER_SECONDS = 1.0
LINGER_BYTES = 2**20
"""How long and how much is read after the response to a request that was not read to its end.
Closing a socket with unread bytes resets it, and the client may lose the response."""

CONNECTIONS = 16
"""Simultaneous connections; Prometheus needs two. Further ones get an error and are closed."""

STOP_SECONDS = 2.0
TURNS = 3
"""Turns of the event loop in which an accepted connection reaches us and an aborted one closes."""

LAST_PORT = 65_535
METHODS = ("GET", "HEAD")
METRICS, VITAL, READY = "/metrics", "/metrics/vital", "/-/ready"

_logger = logging.getLogger(__name__)


class CannotServe(Exception):
    """The metrics cannot be served; the message names the address or file, and the fix."""


class Served:
    """A running metrics server; keep it to close it."""

    def __init__(self, server: "_Server", listening: socket.socket) -> None:
        """Start to serve; created by `serve_metrics`."""
        self.address, self.port = listening.getsockname()[:2]
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(
            target=self._run, args=(server, listening), name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End serving; returns when the port is free. May be called twice; never raises."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(STOP_SECONDS)

    def _run(self, server: "_Server", listening: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(server.run(listening, self._stopping))


def serve_metrics(
    metrics: BotMetrics,
    port: int = 8411,
    address: str = "127.0.0.1",
    token_file: Path | str | None = None,
) -> Served:
    """Serve a bot's metrics from a separate thread until closed or until the process ends.

    Args:
        metrics: the bot's metrics.
        port: port to listen on; 0: any free port.
        address: address to listen on.
        token_file: file with one valid token per line; it is read at each request, so a change
            applies at once. Without it, every user of this machine may read.

    Raises:
        CannotServe: the address is in use or not local, the file has no token, or there is no token
            file and the address can be reached from other machines.
    """
    path = None if token_file is None else Path(token_file)
    if path is None and not _is_loopback(address):
        raise CannotServe(
            f"{address} can be reached from other machines, and no token is required. "
            "Fix: give token_file, or listen on 127.0.0.1"
        )
    if path is not None:
        _check(path)
    if not 0 <= port <= LAST_PORT:
        raise CannotServe(f"invalid port {port}. Fix: use one up to {LAST_PORT}, or 0 for any")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, port), family=family, backlog=CONNECTIONS)
    except OSError as error:
        raise CannotServe(
            f"metrics cannot be served on {address}:{port} ({os.strerror(error.errno or 0)}). "
            "Fix: stop the process that uses the port, or set another port here and in targets.yml"
        ) from error
    return Served(_Server(Exposition(metrics.registry), path), listening)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _check(path: Path) -> None:
    try:
        found = _tokens(path)
    except (OSError, UnicodeError) as error:
        raise CannotServe(f"{path}: {error}. Fix: name a file that this bot may read") from error
    if not found:
        raise CannotServe(f"{path}: no token. Fix: write a token to its first line")


def _tokens(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split()


async def _read_on(reader: asyncio.StreamReader) -> None:
    """Read until the client closes, or until it has sent too much."""
    left = LINGER_BYTES
    while left > 0 and (more := await reader.read(left)):
        left -= len(more)


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class _Server:
    """Answers one request per connection: one scrape per second needs no keep-alive."""

    def __init__(self, exposition: Exposition, token_file: Path | None) -> None:
        self._exposition = exposition
        self._token_file = token_file
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._failing = False

    async def run(self, listening: socket.socket, stopping: asyncio.Event) -> None:
        server = await asyncio.start_server(self._connected, sock=listening, limit=HEAD_LIMIT)
        await stopping.wait()
        # Before 3.12, a connection that is accepted while the server closes is never closed.
        asyncio.get_running_loop().remove_reader(listening)
        await _turns()
        for task, writer in self._serving.items():
            task.cancel()
            writer.transport.abort()
        await _turns()
        server.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: a task that is cancelled before it has run closes nothing.
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving[task] = writer
        task.add_done_callback(self._serving.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if len(self._serving) > CONNECTIONS:
                answer = Response.refusal(
                    503, "too_many_connections", "too many connections; try again"
                )
            else:
                answer = await self._read_request(reader)
            writer.transport.set_write_buffer_limits(0)  # drain() then waits for the last byte
            async with asyncio.timeout(WRITE_SECONDS):
                writer.write(answer.encoded())
                await writer.drain()
            writer.write_eof()
            async with asyncio.timeout(LINGER_SECONDS):
                await _read_on(reader)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client disconnected or does not read
        finally:
            writer.transport.abort()

    async def _read_request(self, reader: asyncio.StreamReader) -> Response:
        try:
            async with asyncio.timeout(READ_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            request = parse_head(head)
        except TimeoutError:
            return Response.refusal(408, "too_slow", "the request did not arrive in time")
        except asyncio.LimitOverrunError:
            return Response.refusal(431, "too_large", f"the head is above {HEAD_LIMIT} bytes")
        except BadHead as error:
            return Response.refusal(400, "bad_request", str(error))
        answer = await self._answer(request)
        return answer.without_body() if request.method == "HEAD" else answer

    async def _answer(self, request: Request) -> Response:
        if request.path not in {METRICS, VITAL, READY}:
            return Response.refusal(404, "refused", "Not Found")
        if request.method not in METHODS:
            return Response.refusal(405, "refused", "Method Not Allowed", Allow=", ".join(METHODS))
        if request.path == READY:
            return Response(200, b"ready\n", "text/plain; charset=utf-8")
        if not self._may_read(request):
            return Response.refusal(401, "unauthorized", "a valid bearer token is needed")
        return await self._exposed(request)

    def _may_read(self, request: Request) -> bool:
        if self._token_file is None:
            return True
        try:
            tokens = _tokens(self._token_file)
        except (OSError, UnicodeError) as error:
            if not self._failing:
                _logger.error("token_unreadable error=%s", error)  # noqa: TRY400 - the message is complete
            self._failing = True
            return False
        return bearer_is_one_of(request.headers.get("authorization"), tokens)

    async def _exposed(self, request: Request) -> Response:
        view = View.VITAL if request.path == VITAL else View.EVERYTHING
        if view is View.EVERYTHING and parse_qs(request.query).get("exclude", [""])[0] == "vital":
            view = View.WITHOUT_VITAL
        try:
            # In slices: this thread must not keep the GIL from the bot.
            body, content_type = await self._exposition.sliced(
                view, request.headers.get("accept", "")
            )
        except Exception:  # a failing collector of the bot must not stop the server
            if not self._failing:  # a scrape comes every second
                _logger.exception("scrape_failed view=%s", view)
            self._failing = True
            return Response.refusal(500, "scrape_failed", "a collector failed; see the bot's log")
        self._failing = False
        return Response(200, body, content_type)
