"""An agent with TLS: a token alone, or with the certificate of a bot, commands nothing."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.free_ports import free_port
from tests.service.tls.certificates import HOST, issue
from tests.waiting import eventually
from trading_ops.agent import embed
from trading_ops.bounded_site import CONNECTIONS
from trading_ops.clients.http import Http, session_of
from trading_ops.config.loading import load_settings
from trading_ops.errors import ConfigError, SetupError, Unreachable
from trading_ops.instrument import BotMetrics
from trading_ops.tls.contexts import AUTHORITY, TlsFiles, calling

TOKEN = "agent_token-of-a-test"


@asynccontextmanager
async def bot(folder: Path) -> AsyncIterator[int]:
    """Run the agent of alpha over TLS; yields its port."""
    (folder / "metrics_token").write_text("metrics_token-of-a-test\n")
    (folder / "agent_token_alpha").write_text(f"{TOKEN}\n")
    metrics = BotMetrics(CollectorRegistry(), version="1", mode="paper")
    port = free_port()
    metrics.heartbeat()
    running = embed(
        metrics, "alpha", port, secrets=folder, state=folder / "state", tls=folder / "tls"
    )
    try:
        yield port
    finally:
        await asyncio.to_thread(running.stop)


async def ask(port: int, tls: Path, name: str) -> int:
    """Ask with the token, and the certificate of `name` if there is one."""
    settings = load_settings(tls.parent, {"TRADING_OPS_TLS_FOLDER": str(tls)})
    async with session_of(settings, name=name) as session:
        http = Http(session, f"https://{HOST}:{port}", token=TOKEN, within=timedelta(seconds=30))
        return (await http.ask("GET", "/health")).status


def serial(port: int, tls: Path) -> str:
    """Return the serial number of the certificate that the agent shows now."""
    context = calling(TlsFiles(tls, "operator"))()
    with (
        socket.create_connection((HOST, port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as secured,
    ):
        return str((secured.getpeercert() or {})["serialNumber"])


async def test_only_a_client_of_the_ca_gets_as_far_as_its_token(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    issue(tls, "alpha")
    issue(tls, "beta")
    issue(tls, "operator", calls=True)
    others = tmp_path / "others"
    issue(others, "operator", calls=True)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / AUTHORITY).write_bytes((tls / AUTHORITY).read_bytes())
    for file in ("operator.crt", "operator.key"):
        (mixed / file).write_bytes((others / file).read_bytes())
    async with bot(tmp_path) as port:
        assert await ask(port, tls, "operator") == 200
        for folder, name, what in (
            (tls, "nobody", "a stolen token without a certificate"),
            (tls, "beta", "a stolen token with the certificate of another bot"),
            (mixed, "operator", "a certificate of another CA"),
            (others, "operator", "a client that does not trust the agent's CA"),
        ):
            with pytest.raises(Unreachable):
                pytest.fail(f"{what}: HTTP {await ask(port, folder, name)}")
        assert await ask(port, tls, "operator") == 200


async def test_a_renewed_certificate_counts_without_a_restart(tmp_path: Path) -> None:
    tls = tmp_path / "tls"
    issue(tls, "alpha")
    issue(tls, "operator", calls=True)
    async with bot(tmp_path) as port:
        first = await asyncio.to_thread(serial, port, tls)
        old = (tls / "alpha.key").read_bytes()
        issue(tls, "alpha")
        new = (tls / "alpha.key").read_bytes()
        # A certificate whose key is not there yet: the old pair is shown.
        (tls / "alpha.key").write_bytes(old)
        assert await asyncio.to_thread(serial, port, tls) == first
        (tls / "alpha.key").write_bytes(new)
        second = await asyncio.to_thread(serial, port, tls)
        assert second != first
        issue(tls, "alpha", lifetime=timedelta(minutes=-1))
        with pytest.raises(Unreachable, match="expired"):
            await ask(port, tls, "operator")


async def test_an_expired_certificate_of_the_client_is_named_and_renewed(tmp_path: Path) -> None:
    """The server would close the connection without a reason."""
    tls = tmp_path / "tls"
    issue(tls, "alpha")
    issue(tls, "operator", calls=True, lifetime=timedelta(minutes=-1))
    async with bot(tmp_path) as port:
        with pytest.raises(Unreachable, match=r"operator\.crt expired on .*trading-ops tls renew"):
            await ask(port, tls, "operator")
        issue(tls, "operator", calls=True)
        assert await ask(port, tls, "operator") == 200


async def test_silent_clients_do_not_keep_others_out(tmp_path: Path) -> None:
    """Connections without a handshake are strangers', and the oldest make room."""
    tls = tmp_path / "tls"
    issue(tls, "alpha")
    issue(tls, "operator", calls=True)
    async with bot(tmp_path) as port:
        writers = []
        try:
            for _ in range(CONNECTIONS + 10):
                _, writer = await asyncio.open_connection(HOST, port)
                writers.append(writer)

            async def answers() -> bool:
                with contextlib.suppress(Unreachable):
                    return await ask(port, tls, "operator") == 200
                return False

            await eventually(answers, within=10, what="an answer in a flood of connections")
        finally:
            for writer in writers:
                writer.close()


async def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    with pytest.raises(ConfigError, match=r"ca\.crt: .*missing.*trading-ops tls init"):
        async with bot(tmp_path):
            pass
    metrics = BotMetrics(CollectorRegistry(), version="1", mode="paper")
    with pytest.raises(SetupError, match="without TLS"):
        embed(metrics, "alpha", 1, secrets=tmp_path, state=tmp_path, host="10.0.0.5")
