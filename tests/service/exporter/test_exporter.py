import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.free_ports import free_port
from tests.service.exporter.freqtrades import FakeFreqtrade, entry
from tests.service.exporter.venues import FakeVenue
from tests.service.stack.small_processes import until, until_true
from trading_ops.errors import ConfigError
from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.config import (
    CcxtEntry,
    ExporterConfig,
    FreqtradeEntry,
    ProcessEntry,
    VenueEntry,
    load_config,
)
from trading_ops.exporter.server import serving
from trading_ops.instrument.catalogue import EXPORTER_METRICS
from trading_ops.instrument.topics.collectors import COLLECTORS
from trading_ops.instrument.topics.host import HOST
from trading_ops.instrument.topics.processes import PROCESSES
from trading_ops.instrument.topics.venue_probes import VENUE_PROBES

TOKEN = "metrics"

NOT_EVERYWHERE = {
    "trading_host_pressure_seconds_total",
    "trading_host_clock_synchronized",
    "trading_host_clock_error_bound_seconds",
    "trading_host_disk_inodes",
    "trading_host_disk_inodes_free",
    "trading_host_disk_read_bytes_total",
    "trading_host_disk_written_bytes_total",
    "trading_host_disk_busy_seconds_total",
    "trading_process_open_files_limit",
}
"""Of the kernel, the file system, or a container."""


@contextlib.asynccontextmanager
async def exporter(
    folder: Path,
    *venues: VenueEntry,
    freqtrades: tuple[FreqtradeEntry, ...] = (),
    processes: tuple[ProcessEntry, ...] = (),
    ccxt: tuple[CcxtEntry, ...] = (),
) -> AsyncIterator[aiohttp.ClientSession]:
    token = folder / "token"
    token.write_text(f"{TOKEN}\n")
    address = f"127.0.0.1:{free_port()}"
    config = ExporterConfig(address, token, venues, (folder,), freqtrades, ccxt, processes)
    async with (
        serving(config),
        aiohttp.ClientSession(
            f"http://{address}", headers={"Authorization": f"Bearer {TOKEN}"}
        ) as session,
    ):
        yield session


async def scrape(session: aiohttp.ClientSession) -> dict[str, dict[tuple[str, ...], float]]:
    """Return values by label values by sample name."""
    async with session.get("/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def test_host_and_venues_are_exported(tmp_path: Path) -> None:
    """One scrape has the host, each venue with its label, and how the collectors fare."""
    venue = FakeVenue()
    async with (
        venue.serving() as address,
        exporter(
            tmp_path,
            VenueEntry("paper", address),
            VenueEntry("gone", f"127.0.0.1:{free_port()}"),
        ) as session,
    ):
        seen = await scrape(session)
    assert seen["trading_venue_up"] == {("paper",): 1, ("gone",): 0}
    assert seen["trading_exporter_collector_up"] == {
        ("host",): 1, ("host_processes",): 1, (f"disk:{tmp_path}",): 1,
        ("venue:paper",): 1, ("venue:gone",): 0,
    }  # fmt: skip
    assert seen["trading_exporter_collector_failures_total"][("venue:gone",)] >= 1
    assert seen["trading_host_memory_available_bytes"][()] > 0
    free = seen["trading_host_disk_free_bytes"][(str(tmp_path),)]
    assert 0 < free <= seen["trading_host_disk_size_bytes"][(str(tmp_path),)]
    assert seen["trading_host_cpu_seconds_total"][("user",)] > 0
    assert seen["process_start_time_seconds"][()] > 0


async def test_every_metric_of_the_catalogue_is_there(tmp_path: Path) -> None:
    """What the catalogue promises of host, processes and venues is what a scrape has."""
    venue = FakeVenue()
    venue.pairs = {"BTC/USD": "online"}
    (tmp_path / "pid").write_text(str(os.getpid()))
    me = ProcessEntry(name="me", pid_file=tmp_path / "pid")
    async with (
        venue.serving() as address,
        FakeFreqtrade().serving() as freqtrade,
        exporter(
            tmp_path,
            VenueEntry("paper", address, ("BTC/USD",)),
            processes=(me,),
            freqtrades=(entry(tmp_path, freqtrade),),
        ) as session,
    ):
        seen = await scrape(session)
    promised = {metric.name for metric in (*HOST, *PROCESSES, *VENUE_PROBES, *COLLECTORS)}
    assert promised - NOT_EVERYWHERE <= seen.keys()
    exported = {name for name in seen if name.startswith("trading_")}
    assert exported <= {metric.name for metric in EXPORTER_METRICS}


async def test_a_hanging_venue_delays_no_scrape(tmp_path: Path) -> None:
    """While a probe hangs, the host and the other venue are reported at once."""
    healthy, stuck = FakeVenue(), FakeVenue()
    async with (
        healthy.serving() as good,
        stuck.serving() as bad,
        exporter(tmp_path, VenueEntry("good", good), VenueEntry("bad", bad)) as session,
    ):
        stuck.hangs = True
        probes = len(stuck.cookies)
        await until(lambda: len(stuck.cookies) > probes)
        async with asyncio.timeout(0.9):
            seen = await scrape(session)
        assert seen["trading_venue_up"][("good",)] == 1
        assert seen["trading_host_load1"][()] >= 0


async def test_the_venue_is_probed_again_and_again(tmp_path: Path) -> None:
    """A venue that goes down is seen without anyone asking for it."""
    venue = FakeVenue()
    async with (
        venue.serving() as address,
        exporter(tmp_path, VenueEntry("paper", address)) as session,
    ):
        assert (await scrape(session))["trading_venue_up"] == {("paper",): 1}
        venue.http_status = 503

        async def is_down() -> bool:
            return (await scrape(session))["trading_venue_up"] == {("paper",): 0}

        await until_true(is_down)


async def test_without_the_token_nothing_is_reported(tmp_path: Path) -> None:
    """Metrics want the token; readiness does not."""
    async with exporter(tmp_path) as session:
        for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": ""}):
            async with session.get("/metrics", headers=headers) as answer:
                assert answer.status == 401
        async with session.get("/-/ready", headers={"Authorization": ""}) as answer:
            assert answer.status == 200


class Breaking:
    """A source that succeeds once and then breaks."""

    name = "breaking"
    interval_seconds = 0.0
    timeout_seconds = 1.0

    def __init__(self) -> None:
        self.readings = 0

    async def read(self) -> None:
        self.readings += 1
        if self.readings > 1:
            raise RuntimeError("broken")

    def families(self, *, fresh: bool) -> Iterable[Metric]:
        return [Metric("figure", "A figure.", "gauge")] if fresh else []


async def test_a_broken_source_is_tried_on() -> None:
    """Its failures are counted, its last success is kept, and its task continues."""
    watched = PolledSource(Breaking())
    task = asyncio.create_task(watched.run())
    await until(lambda: watched.failures >= 3)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not watched.up
    assert watched.last_success > 0


async def test_the_process_ends_on_sigterm(tmp_path: Path) -> None:
    """As a process it serves, and ends with code 0 when asked."""
    (tmp_path / "token").write_text(TOKEN)
    address = f"127.0.0.1:{free_port()}"
    config = tmp_path / "exporter.json"
    config.write_text(
        json.dumps({"address": address, "metrics_token_file": str(tmp_path / "token")})
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "trading_ops.exporter", "--config", str(config),
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with aiohttp.ClientSession(f"http://{address}") as session:
        await until_true(lambda: _answers(session))
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_a_bad_configuration_ends_the_process(tmp_path: Path) -> None:
    """Without its file the exporter ends with code 1."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "trading_ops.exporter", "--config", str(tmp_path / "none.json"),
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 1


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    """A mistake in the file is named, not ignored."""
    config = tmp_path / "exporter.json"
    config.write_text('{"address": "127.0.0.1:1", "metrics_token_file": "t", "venus": []}')
    with pytest.raises(ConfigError, match="venus"):
        load_config(config)


async def _answers(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/-/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
