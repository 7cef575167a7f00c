"""A bot with bare metrics in targets.yml: scraped as the others, and nothing is done to it."""

import socket
from pathlib import Path

import pytest

from tests.rules.configuration import run_tool
from tests.unit.stack.registries import changed, settings_in
from trading_ops.domain.runbook import fill_query
from trading_ops.domain.target import BOTS, Kind, Registry
from trading_ops.errors import ConfigError
from trading_ops.project.discovery import discovery
from trading_ops_lab.supervisor.configs import bot_keys, process_configs
from trading_ops_lab.supervisor.layout import lay_out
from trading_ops_lab.supervisor.ports import check_ports
from trading_ops_lab.supervisor.processes import processes

ENTRY = """  - name: mybot
    kind: bare_bot
    venue: binance
    address: 127.0.0.1:8412
    labels: {strategy: mine}
"""
BEFORE = "  - name: exporter\n"


def registry(entry: str = ENTRY) -> Registry:
    return changed((BEFORE, f"{entry}\n{BEFORE}"))


def test_it_is_scraped_under_the_jobs_of_bots(tmp_path: Path) -> None:
    """At its own address, with the labels that rules and boards go by."""
    assert discovery(registry())["bots"][1:] == [
        {
            "targets": ["127.0.0.1:8412"],
            "labels": {"bot": "mybot", "venue": "binance", "strategy": "mine"},
        }
    ]
    lay_out(settings_in(tmp_path), registry())
    config = tmp_path / "prometheus" / "prometheus.yml"
    assert "SUCCESS" in run_tool("promtool", "check", "config", config).stdout


def test_nothing_is_asked_of_it(tmp_path: Path) -> None:
    """No agent is watched, no halt is promised, no process is run and no key is made for it."""
    found = registry()
    bot = found.find("mybot")
    assert bot is not None
    assert bot.observe_only
    assert bot.kind not in BOTS
    assert bot not in found.bots
    assert "mybot" not in bot_keys(found)
    settings = settings_in(tmp_path)
    assert "mybot" not in process_configs(settings, found)
    assert "mybot" not in {plan.unit for plan in processes(settings, found)}


def test_alerts_name_it() -> None:
    """As they name any other bot."""
    bot = registry().find("mybot")
    assert bot is not None
    assert fill_query('up{bot="$bot",venue="$venue"}', bot) == 'up{bot="mybot",venue="binance"}'


def test_it_may_run_before_the_stack() -> None:
    """Its port is its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        found = registry(ENTRY.replace("127.0.0.1:8412", address))
        check_ports(Registry(found.of_kind(Kind.BARE_BOT)))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("venue: binance", "venue: 'Binance \"US\"'", "invalid venue name"),
        ("    venue: binance\n", "", "invalid venue name None"),
        ("labels:", "service: {manager: supervisor, unit: mine}\n    labels:", "remove `service`"),
        ("127.0.0.1:8412", "127.0.0.1:8411", "choose a free port"),
    ],
)
def test_mistakes_are_explained(old: str, new: str, expected: str) -> None:
    """Each names the file, the entry and the fix."""
    assert old in ENTRY
    with pytest.raises(ConfigError, match=expected):
        registry(ENTRY.replace(old, new))
