"""The exporter and the reconciler ask one Freqtrade together: never more than it can bear."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.builders import FixedSecrets
from tests.free_ports import free_port
from tests.service.exporter.freqtrades import AGAIN, EVERYTHING, PASSWORD, USER, FakeFreqtrade
from tests.service.exporter.freqtrades import entry as credentials_of
from tests.waiting import eventually
from trading_ops import turns
from trading_ops.clients.directory import BotControl, Directory
from trading_ops.domain.target import Kind, Registry, Target
from trading_ops.errors import Unreachable

OF_THE_EXCHANGE = {"status", "profit", "balance", "daily"}
HALT = {"owner": "anna", "reason": "odd fills", "id": "hold-1"}


class Secrets(FixedSecrets):
    """Those of one Freqtrade, whose file the exporter reads too."""

    def __init__(self, file: Path) -> None:
        super().__init__(freqtrade=f"{USER}:{PASSWORD}")
        self._file = file

    def freqtrade_credentials_file(self, name: str) -> Path:  # type: ignore[override]
        assert name == "freq"
        return self._file


@contextlib.asynccontextmanager
async def exporting(folder: Path, address: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run an exporter of this Freqtrade while the block runs."""
    (folder / "metrics_token").write_text("m\n")
    (folder / "metrics_token").chmod(0o600)
    (folder / "exporter.yml").write_text(
        f"address: 127.0.0.1:{free_port()}\n"
        f"freqtrades: [{{name: freq, address: '{address}', credentials_file: freqtrade_freq}}]\n"
    )
    with (folder / "exporter.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "trading_ops.cli.main", "export", "--config", "exporter.yml",
            cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def both(folder: Path, fake: FakeFreqtrade) -> AsyncIterator[tuple[BotControl, int]]:
    """Give the reconciler's control, and the process id of the exporter, which reads already."""
    async with fake.serving() as address, aiohttp.ClientSession() as session:
        file = credentials_of(folder, address).credentials_file
        file.chmod(0o600)
        target = Target(name="freq", kind=Kind.FREQTRADE, address=address, venue="binance")
        control = Directory(session, Registry((target,)), Secrets(file)).bot(target)
        async with exporting(folder, address) as exporter:
            log = folder / "exporter.log"
            await eventually(lambda: "ping" in fake.asked, what=f"a ping; see {log}")
            yield control, exporter.pid


async def test_no_two_requests_are_under_way(tmp_path: Path) -> None:
    """Under the load of both at most one, and beside it one that waits for the exchange."""
    fake = FakeFreqtrade()
    fake.takes = 0.02
    async with both(tmp_path, fake) as (control, _):
        before = len(fake.asked)

        async def watch() -> None:
            while len(fake.asked) - before < 120:
                assert (await control.health()).status == "ok"
                await control.events(0)

        await asyncio.gather(*(watch() for _ in range(3)))
        answer = await control.command(
            "halt", HALT, attempt_id="a", fence=1, within=timedelta(seconds=20)
        )
        assert answer.succeeded, answer.detail
    assert {"ping", "status", "trades", "pair_candles"} <= set(fake.asked)
    for together in fake.together:
        assert AGAIN not in together, together
        assert len(together) <= 2, together
        assert together & OF_THE_EXCHANGE, together


async def test_a_frozen_one_is_pinged_by_one_at_a_time(tmp_path: Path) -> None:
    """What waits in its listener when it goes on: pings, and at most one request of each."""
    fake = FakeFreqtrade()
    async with both(tmp_path, fake) as (control, _):
        await control.health()
        asked = len(fake.asked)
        fake.hangs = {EVERYTHING}

        async def is_backing_off() -> bool:
            with pytest.raises(Unreachable):
                await control.health()
            return fake.asked[asked:].count("ping") >= 2

        await eventually(is_backing_off)
        frozen = fake.asked[asked:]
        fake.thaw()

        async def is_well() -> bool:
            with contextlib.suppress(Unreachable):
                return (await control.health()).status == "ok"
            return False

        await eventually(is_well)
    others = [
        endpoint for endpoint in frozen if endpoint != "ping" and endpoint not in OF_THE_EXCHANGE
    ]
    assert len(others) <= 3, frozen


async def test_a_halt_goes_out_beside_a_frozen_exporter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exporter keeps the turn of its last request for ever; no one waits for it twice."""
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.3)
    fake = FakeFreqtrade()
    fake.takes = 0.2  # so that it is frozen with a request under way
    async with both(tmp_path, fake) as (control, exporter):
        await eventually(lambda: bool(fake.under_way))
        os.kill(exporter, signal.SIGSTOP)
        answer = await control.command(
            "halt", HALT, attempt_id="a", fence=1, within=timedelta(seconds=20)
        )
        assert answer.succeeded, answer.detail
        assert fake.state == "paused"
