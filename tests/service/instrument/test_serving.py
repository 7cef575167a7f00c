"""A bare `/metrics` over real sockets: the same as the agent's, and no one can hold it up."""

import contextlib
import gc
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tests.free_ports import free_port
from tests.waiting import eventually
from trading_ops.agent import Agent, Health
from trading_ops.instrument import BotMetrics, serving
from trading_ops.instrument.serving import CannotServe, Served, serve_metrics

TOKEN, NEXT = "metrics-" + "m" * 32, "metrics-" + "n" * 32
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
ODD = "application/openmetrics-text;version=x"
"""Over which prometheus_client fails."""


@pytest.fixture
def metrics() -> BotMetrics:
    made = BotMetrics(version="1", mode="paper", symbols=["BTC/USD"])
    made.order_ended("filled", order_id="o-1")
    return made


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "metrics_token"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture
def served(metrics: BotMetrics, token_file: Path) -> Iterator[Served]:
    served = serve_metrics(metrics, 0, token_file=token_file)
    yield served
    served.close()


def exchange(served: Served, sent: bytes) -> bytes:
    """Send bytes as they are, and return all that comes back."""
    with socket.create_connection((served.address, served.port), timeout=20) as connection:
        answer = b""
        # Reset, when the answer came before all of the question was read.
        with contextlib.suppress(OSError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65536):
                answer += more
    return answer


def scraped(served: Served, token: str = TOKEN, path: str = "/metrics/vital") -> int:
    """Scrape once; return the status."""
    answer = exchange(
        served, f"GET {path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    return int(answer.split(b" ", 2)[1]) if answer else 0


def samples_of(body: str) -> list[str]:
    """Return the text without what changes on its own: the process's own figures."""
    return [line for line in body.splitlines() if "process_" not in line]


async def test_it_answers_as_the_agent_does(
    metrics: BotMetrics, served: Served, tmp_path: Path
) -> None:
    """Same registry, same question: same status, type and body, refusals too."""
    agent = Agent(
        name="alpha",
        address=("127.0.0.1", free_port()),
        metrics=metrics,
        health=Health,
        commands={},
        state_dir=tmp_path,
        metrics_token=TOKEN,
        agent_token="agent-token",
    )
    agent.start()
    ports = (served.port, agent.port)
    try:
        async with aiohttp.ClientSession() as session:

            async def ask(port: int, path: str, **headers: str) -> tuple[int, str, list[str]]:
                url = f"http://127.0.0.1:{port}{path}"
                async with session.get(url, headers=headers) as answer:
                    text = await answer.text()
                    return answer.status, answer.headers["Content-Type"], samples_of(text)

            paths = ("/metrics", "/metrics?exclude=vital", "/metrics/vital", "/metrics?exclude=x")
            for path in paths:
                for accept in ("*/*", "text/plain", OPENMETRICS, "nonsense;;q=x"):
                    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": accept}
                    bare, agents = [await ask(port, path, **headers) for port in ports]
                    assert bare == agents
                    assert bare[0] == 200
            wrong = ("Bearer wrong", "Bearer ", "Basic " + TOKEN, TOKEN, "bearer \udcff\udcfe")
            for given_ in wrong:
                bare, agents = [await ask(port, "/metrics", Authorization=given_) for port in ports]
                assert bare == agents
                assert bare[0] == 401
            bare, agents = [await ask(port, "/nothing") for port in ports]
            assert bare == agents
            assert bare[0] == 404
            bare, agents = [
                await ask(port, "/metrics", Authorization=f"Bearer {TOKEN}", Accept=ODD)
                for port in ports
            ]
            assert bare == agents
            assert bare[:2] == (200, "text/plain; version=0.0.4; charset=utf-8")
            for port in ports:
                async with session.post(f"http://127.0.0.1:{port}/metrics", data=b"x") as answer:
                    assert answer.status == 405
    finally:
        agent.stop()


def test_who_may_read(served: Served, token_file: Path) -> None:
    """A changed token holds at once, two lines are two tokens; without the file no one reads."""
    assert (scraped(served), scraped(served, NEXT)) == (200, 401)
    token_file.write_text(f"{NEXT}\n{TOKEN}\n")
    assert (scraped(served), scraped(served, NEXT)) == (200, 200)
    token_file.write_text("\n")
    assert (scraped(served), scraped(served, "")) == (401, 401)
    token_file.unlink()
    assert scraped(served) == 401
    assert scraped(served, path="/-/ready") == 200


def test_without_a_token_only_this_machine_may_read(metrics: BotMetrics) -> None:
    """It is served on loopback, and refused where others could reach it."""
    served = serve_metrics(metrics, 0)
    try:
        assert scraped(served, "whatever") == 200
    finally:
        served.close()
    with pytest.raises(CannotServe, match="other machines"):
        serve_metrics(metrics, 0, address="0.0.0.0")  # noqa: S104  # what is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "missing", "No such file"),
        (lambda folder: folder, "Is a directory"),
    ],
)
def test_a_token_that_cannot_be_read(
    metrics: BotMetrics, tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    """The sentence names the file, what is wrong and the fix."""
    with pytest.raises(CannotServe, match=f"{message}.*Fix:"):
        serve_metrics(metrics, 0, token_file=make(tmp_path))


def test_an_empty_token_file_is_refused(metrics: BotMetrics, tmp_path: Path) -> None:
    """It would let no one in, and look like a wrong token for ever."""
    (tmp_path / "token").write_text(" \n")
    with pytest.raises(CannotServe, match="no token"):
        serve_metrics(metrics, 0, token_file=tmp_path / "token")


def test_a_taken_port_says_so(metrics: BotMetrics, served: Served) -> None:
    """With the address, the reason and the fix; the port is free again after close."""
    with pytest.raises(CannotServe, match=rf"127.0.0.1:{served.port} .*in use.*Fix: stop"):
        serve_metrics(metrics, served.port)
    with pytest.raises(CannotServe, match="70000"):
        serve_metrics(metrics, 70_000)
    served.close()
    served.close()
    serve_metrics(metrics, served.port).close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 400),
        (b"GET /metrics/../secrets HTTP/1.1\r\n\r\n", 404),
        (b"DELETE /-/ready HTTP/1.1\r\n\r\n", 405),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 5_000 + b"\r\n", 431),
        (b"HEAD /-/ready HTTP/1.1\r\n\r\n", 200),
    ],
)
def test_refusals(served: Served, sent: bytes, status: int) -> None:
    """Each malformed or unknown request gets its status, and the server continues."""
    with socket.create_connection((served.address, served.port), timeout=20) as connection:
        connection.sendall(sent)
        assert connection.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())
    assert scraped(served) == 200


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=400))
def test_any_bytes_leave_it_standing(served: Served, sent: bytes) -> None:
    """Whatever is sent, the next scrape is answered."""
    answer = exchange(served, sent)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert scraped(served) == 200


def test_any_accept_header_leaves_it_standing(served: Served) -> None:
    """The format is negotiated by prometheus_client, with whatever the scraper claims to take."""
    for accept in ("application/openmetrics-text;version=x", "text/plain;q=", ";;;", "a" * 4000):
        head = f"GET /metrics HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nAccept: {accept}\r\n\r\n"
        assert exchange(served, head.encode()).startswith(b"HTTP/1.1 200 ")


async def test_slow_senders_are_cut_off(
    metrics: BotMetrics, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one deadline for the whole head: a byte now and then does not lengthen it."""
    monkeypatch.setattr(serving, "READ_SECONDS", 0.3)
    served = serve_metrics(metrics, 0, token_file=token_file)
    try:
        with socket.create_connection((served.address, served.port), timeout=60) as connection:

            def drip() -> bool:
                connection.sendall(b"x")
                return bool(select.select([connection], [], [], 0)[0])

            await eventually(drip, what="the end of a request that never ends")
            assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
    finally:
        served.close()


def test_an_answer_before_the_end_of_the_request_is_followed_by_an_end_and_no_reset(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the client still sends is read: a reset can cost it the answer."""
    monkeypatch.setattr(serving, "LINGER_SECONDS", 60.0)
    with socket.create_connection((served.address, served.port), timeout=60) as connection:
        connection.sendall(b"GET /" + b"x" * (serving.LINGER_BYTES // 2))
        answer = b""
        while more := connection.recv(65536):
            answer += more
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_client_that_never_stops_sending_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the number of bytes, however long it may take."""
    monkeypatch.setattr(serving, "LINGER_SECONDS", 3600.0)
    with (
        socket.create_connection((served.address, served.port), timeout=60) as connection,
        pytest.raises(ConnectionError),
    ):
        # Far more than the server reads and the kernel keeps for it.
        connection.sendall(b"x" * (serving.LINGER_BYTES + 100_000_000))
    assert scraped(served) == 200


async def test_many_that_hold_a_connection_are_bounded(
    metrics: BotMetrics, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit they get an error; when the others' time is over it scrapes again."""
    monkeypatch.setattr(serving, "READ_SECONDS", 3.0)
    served = serve_metrics(metrics, 0, token_file=token_file)
    before = threading.active_count()
    idle: list[socket.socket] = []

    def refused() -> bool:
        """Open all connections each time: after a stall, the earlier ones were cut off."""
        for connection in idle:
            connection.close()
        idle[:] = [socket.create_connection((served.address, served.port)) for _ in range(200)]
        return scraped(served) == 503

    try:
        assert await eventually(refused, what="503 above the limit")
        assert threading.active_count() == before
        assert await eventually(lambda: scraped(served) == 200, what="a scrape afterwards")
    finally:
        for connection in idle:
            connection.close()
        served.close()


async def test_those_that_take_no_answer_are_cut_off(
    metrics: BotMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers larger than the buffers between us are not kept for ever."""

    class Large(Collector):
        def collect(self) -> Iterator[GaugeMetricFamily]:
            yield GaugeMetricFamily("large", "x" * 30_000_000, value=1)

    metrics.registry.register(Large())
    monkeypatch.setattr(serving, "WRITE_SECONDS", 3600.0)
    monkeypatch.setattr(serving, "CONNECTIONS", 2)
    served = serve_metrics(metrics, 0)
    asked = [socket.create_connection((served.address, served.port)) for _ in range(2)]
    try:
        for connection in asked:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            assert connection.recv(1)
        assert scraped(served, path="/-/ready") == 503
        asked.pop().close()
        await eventually(lambda: scraped(served, path="/-/ready") == 200, what="a free place")
        # No time at all: however fast the machine is, what does not fit the buffers comes too late.
        monkeypatch.setattr(serving, "WRITE_SECONDS", 0.0)
        asked.append(socket.create_connection((served.address, served.port)))
        asked[-1].sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert 0 < received(asked[-1]) < 30_000_000
        monkeypatch.setattr(serving, "WRITE_SECONDS", 3600.0)
        await eventually(lambda: scraped(served, path="/-/ready") == 200, what="its end")
    finally:
        for connection in asked:
            connection.close()
        served.close()


def received(connection: socket.socket) -> int:
    """Read until the other side ends it; return how many bytes came."""
    count = 0
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(2**20):
            count += len(part)
    return count


def test_a_collector_that_fails_is_an_error_and_not_the_end(
    metrics: BotMetrics, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """500 until it is fixed, logged once each time, and the vital scrape does without it."""

    class Broken(Collector):
        broken = True

        def collect(self) -> Iterator[GaugeMetricFamily]:
            if self.broken:
                raise OSError("the disk is gone")
            yield GaugeMetricFamily("fixed", "One.", value=1)

        def describe(self) -> list[GaugeMetricFamily]:
            return []

    broken = Broken()
    metrics.registry.register(broken)
    assert [scraped(served, path="/metrics") for _ in range(3)] == [500] * 3
    assert caplog.text.count("scrape_failed") == 1
    assert scraped(served, path="/metrics/vital") == 200
    broken.broken = False
    assert scraped(served, path="/metrics") == 200
    broken.broken = True
    assert scraped(served, path="/metrics") == 500
    assert caplog.text.count("scrape_failed") == 2


def test_what_connects_while_it_closes_is_closed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is just being accepted leaves no open socket behind."""
    gc.collect()  # what other tests left
    left: list[BaseException | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: left.append(found.exc_value))
    metrics = BotMetrics(version="1", mode="paper")
    for _ in range(20):
        served = serve_metrics(metrics, 0)
        clients = [socket.create_connection((served.address, served.port)) for _ in range(3)]
        served.close()
        for client in clients:
            client.close()
    gc.collect()
    assert left == []
