"""Long-term storage as docs/reports.md sets it up, between two real Prometheus servers."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.rules.configuration import PROMETHEUS, ROOT
from tests.rules.documented import blocks
from tests.rules.running_prometheus import start_prometheus
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.clients.monitoring import Monitoring
from trading_ops.clients.prometheus import Prometheus
from trading_ops.config.settings import Settings
from trading_ops.domain.report import ServiceLevel
from trading_ops.domain.target import Registry
from trading_ops.reports import budgets, figures

RECEIVER = ["--web.enable-remote-write-receiver"]


def documented() -> dict[str, Any]:
    """Return the one remote write that the page shows."""
    shown = [block for block in blocks(ROOT / "docs" / "reports.md", "yaml") if "remote" in block]
    (block,) = shown
    (remote,) = yaml.safe_load(block)["remote_write"]
    return dict(remote)


def kept() -> re.Pattern[str]:
    (rule,) = documented()["write_relabel_configs"]
    assert (rule["source_labels"], rule["action"]) == (["__name__"], "keep")
    return re.compile(rule["regex"])


def test_every_series_that_reports_read_is_kept() -> None:
    read = " ".join([*(query for query, _ in figures.QUERIES.values()), *budgets.QUERIES.values()])
    names = set(re.findall(r"\b(?:trading_|slo:)[a-z0-9_:]*[a-z0-9]", read))
    assert {"trading_equity", "slo:sli_bad:rate5m", "trading_host_disk_size_bytes"} <= names
    assert [name for name in sorted(names) if not kept().fullmatch(name)] == []


@pytest.fixture
def writing(tmp_path: Path) -> Path:
    """The configuration of a Prometheus that watches itself as a bot, by the shipped rules."""
    folder = tmp_path / "writing"
    folder.mkdir()
    groups = yaml.safe_load((PROMETHEUS / "rules" / "slo.yml").read_text("utf-8"))["groups"]
    for group in groups:
        group["interval"] = "1s"
    (folder / "slo.yml").write_text(yaml.safe_dump({"groups": groups}), "utf-8")
    return folder / "prometheus.yml"


async def test_recorded_objectives_arrive_and_are_reported(writing: Path, tmp_path: Path) -> None:
    """The report is asked of the other Prometheus, which has nothing but what was written."""
    reading = tmp_path / "reading" / "prometheus.yml"
    reading.parent.mkdir()
    reading.write_text("global: {}\n", "ascii")
    async with start_prometheus(reading, alertmanagers=0, flags=RECEIVER) as receiver:
        remote = documented() | {"url": f"http://{receiver}/api/v1/write"}
        del remote["basic_auth"]
        configure(writing, remote)
        async with (
            start_prometheus(writing, alertmanagers=0) as writer,
            aiohttp.ClientSession() as session,
        ):
            register(writing.parent / "bot.json", writer)
            settings = Settings(
                root=tmp_path, var=tmp_path, reports_prometheus_url=f"http://{receiver}"
            )
            monitoring = Monitoring(session, settings, Registry(()))
            prometheus = Prometheus(monitoring.reports_prometheus())

            async def row() -> ServiceLevel | None:
                now = clock.now()
                found = await budgets.read_levels(
                    prometheus, [], since=now - timedelta(minutes=1), until=now
                )
                return next((growth for growth in found or () if growth.ratio is not None), None)

            alpha: ServiceLevel = await eventually(row, within=60, what="the series")
            assert (alpha.bot, alpha.slo, alpha.ratio) == ("alpha", "availability", 1.0)
            assert await prometheus.query('{__name__=~"up|scrape_.+|slo:sli_error.+"}') == []


def configure(path: Path, remote: dict[str, Any]) -> None:
    files = [{"files": ["bot.json"], "refresh_interval": "1s"}]
    bot = {"job_name": "trading-bot", "scrape_interval": "1s", "scrape_timeout": "1s"}
    written = {
        "rule_files": ["slo.yml"],
        "scrape_configs": [bot | {"file_sd_configs": files}],
        "remote_write": [remote],
    }
    path.write_text(yaml.safe_dump(written), "utf-8")


def register(path: Path, address: str) -> None:
    labels = {"bot": "alpha", "venue": "paper"}
    path.write_text(json.dumps([{"targets": [address], "labels": labels}]), "ascii")
