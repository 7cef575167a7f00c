"""A Freqtrade in targets.yml: what it becomes for Prometheus, the exporter and the reconciler."""

import json
import re
import socket
import textwrap
from pathlib import Path

import pytest

from tests.rules.configuration import run_tool
from tests.unit.stack.registries import REPOSITORY, changed, settings_in
from trading_ops.domain.runbook import fill_query
from trading_ops.domain.target import Kind, Registry
from trading_ops.errors import ConfigError
from trading_ops.exporter.config import load_config
from trading_ops.exporter.freqtrade.facts import NAMES
from trading_ops.project.discovery import discovery
from trading_ops_lab.supervisor.configs import bot_keys, process_configs
from trading_ops_lab.supervisor.layout import lay_out
from trading_ops_lab.supervisor.ports import check_ports
from trading_ops_lab.supervisor.processes import processes

ENTRY = """  - name: freq
    kind: freqtrade
    venue: binance
    address: 127.0.0.1:8080
    labels: {strategy: sample}
"""
BEFORE = "  - name: exporter\n"


def registry(entry: str = ENTRY, *others: tuple[str, str]) -> Registry:
    return changed((BEFORE, f"{entry}\n{BEFORE}"), *others)


def test_the_exporter_is_scraped_for_it() -> None:
    """Under the jobs of our own bots, with its own labels and its own address as the instance."""
    found = discovery(registry())["bots"]
    assert [group["labels"]["bot"] for group in found] == ["alpha", "freq"]
    assert found[1] == {
        "targets": ["127.0.0.1:8421"],
        "labels": {
            "bot": "freq",
            "venue": "binance",
            "strategy": "sample",
            "instance": "127.0.0.1:8080",
            "exporter": "127.0.0.1:8421",
            "__param_bot": "freq",
        },
    }


def test_the_exporter_reads_it(tmp_path: Path) -> None:
    """With the secret that the docs name; a second exporter does not read it again."""
    second = """  - name: exporter-2
    kind: exporter
    address: 127.0.0.1:8422
    service: {manager: supervisor, unit: exporter-2}

  - name: reconciler
"""
    settings = settings_in(tmp_path)
    configs = process_configs(settings, registry(ENTRY, ("  - name: reconciler\n", second)))
    assert configs["exporter"]["freqtrades"] == [
        {
            "name": "freq",
            "address": "127.0.0.1:8080",
            "credentials_file": str(settings.secrets / "freqtrade_freq"),
        }
    ]
    assert configs["exporter-2"]["freqtrades"] == []
    file = tmp_path / "exporter.json"
    file.write_text(json.dumps(configs["exporter"]))
    (entry,) = load_config(file).freqtrades
    assert entry.credentials_file == settings.secrets / "freqtrade_freq"


def test_prometheus_takes_what_is_placed_out(tmp_path: Path) -> None:
    """Its discovery files and ours, with the shipped configuration."""
    lay_out(settings_in(tmp_path), registry())
    config = tmp_path / "prometheus" / "prometheus.yml"
    assert "SUCCESS" in run_tool("promtool", "check", "config", config).stdout


@pytest.mark.parametrize(("setting", "expected"), [("", True), ("true", True), ("false", False)])
def test_it_is_looked_at_only_until_its_entry_says_otherwise(setting: str, expected: bool) -> None:
    """It was there before us, and may trade real money; one of our own bots is the other way."""
    more = f"    observe_only: {setting}\n" if setting else ""
    found = registry(ENTRY + more)
    bot = found.find("freq")
    assert bot is not None
    assert bot.observe_only is expected
    own = found.find("alpha")
    assert own is not None
    assert not own.observe_only


def test_it_is_a_bot_and_none_of_ours() -> None:
    """Anyone who halts all bots halts it too; it has no agent and no key of ours."""
    found = registry()
    assert [bot.name for bot in found.bots] == ["alpha", "freq"]
    assert [target.name for target in found.of_kind(Kind.BOT)] == ["alpha"]
    assert "freq" not in bot_keys(found)


def test_queries_of_runbooks_name_it() -> None:
    """As they name one of our own bots."""
    bot = registry().find("freq")
    assert bot is not None
    assert fill_query('up{bot="$bot",venue="$venue"}', bot) == 'up{bot="freq",venue="binance"}'


def test_the_supervisor_neither_runs_it_nor_wants_its_port(tmp_path: Path) -> None:
    """It listens already when the stack starts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        found = registry(ENTRY.replace("127.0.0.1:8080", address))
        only = Registry(found.of_kind(Kind.FREQTRADE))
        check_ports(only)
    units = {plan.unit for plan in processes(settings_in(tmp_path), found)}
    assert "freq" not in units


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("venue: binance", "venue: 'Binance \"US\"'", "invalid venue name"),
        ("    venue: binance\n", "", "invalid venue name None"),
        ("labels:", "service: {manager: supervisor, unit: freq}\n    labels:", "remove `service`"),
        ("127.0.0.1:8080", "192.168.0.2:8080", "reachable from other machines"),
        ("127.0.0.1:8080", "127.0.0.1:8421", "choose a free port"),
    ],
)
def test_mistakes_are_explained(old: str, new: str, expected: str) -> None:
    """Each names the file, the entry and the fix."""
    assert old in ENTRY
    with pytest.raises(ConfigError) as caught:
        registry(ENTRY.replace(old, new))
    assert expected in str(caught.value)


def test_every_metric_must_be_read() -> None:
    """Without an exporter it would be listed and never watched."""
    with pytest.raises(ConfigError, match="no exporter"):
        registry(ENTRY, ("kind: exporter", "kind: reconciler"))


def test_the_documentation_lists_what_is_mapped() -> None:
    """Every metric of a Freqtrade is in the table, and the entry that it shows is taken."""
    text = (REPOSITORY / "docs" / "freqtrade.md").read_text(encoding="utf-8")
    missing = [
        name
        for name in NAMES
        if name not in text and f"…{name.removeprefix('trading_freqtrade')}" not in text
    ]
    assert not missing
    block = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert block is not None
    shown = textwrap.indent(textwrap.dedent(block.group(1)), "  ")
    assert registry(shown).find("freq") is not None
