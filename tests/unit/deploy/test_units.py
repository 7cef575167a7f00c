"""The shipped units and setup.sh: limits, hardening, and that a dry run changes nothing."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
SETUP = ROOT / "deploy" / "setup.sh"


def parsed(unit: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.read(unit)
    return parser


@pytest.mark.parametrize(
    "unit",
    [unit for unit in UNITS if parsed(unit)["Service"].get("Type") != "oneshot"],
    ids=lambda unit: unit.name,
)
def test_each_restarts_within_the_same_limits(unit: Path) -> None:
    found = parsed(unit)
    assert found["Unit"]["StartLimitBurst"] == "5"
    assert found["Unit"]["StartLimitIntervalSec"] == "600"
    service = found["Service"]
    assert (service["Restart"], service["RestartSec"]) == ("always", "10")
    assert service["LimitNOFILE"] == "65536"
    assert "MemoryMax" in service
    assert service["User"] != "root"


@pytest.mark.parametrize("name", ["reconciler", "node"])
def test_a_backup_that_is_killed_for_memory_does_not_stop_the_unit(name: str) -> None:
    """By default systemd would stop the unit, and at the fifth time for good."""
    service = parsed(ROOT / "deploy" / "systemd" / f"trading-ops-{name}.service")["Service"]
    assert service["OOMPolicy"] == "continue"


@pytest.mark.parametrize("name", ["reconciler", "node"])
def test_the_watchdog_waits_longer_than_a_pass(name: str) -> None:
    """The reconciler counts as working for 35 s after a pass at the default poll interval."""
    service = parsed(ROOT / "deploy" / "systemd" / f"trading-ops-{name}.service")["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 35


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("name", ["reconciler", "node"])
def test_the_exposure_is_at_most_one_and_a_half(name: str) -> None:
    unit = ROOT / "deploy" / "systemd" / f"trading-ops-{name}.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stdout + done.stderr
    assert float(exposure[1]) <= 1.5


@pytest.mark.parametrize(
    "action", ["install", "install --node host-b", "install --lab", "upgrade", "uninstall"]
)
def test_a_dry_run_prints_and_changes_nothing(action: str) -> None:
    done = subprocess.run(
        ["sh", SETUP, *action.split(), "--dry-run"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines
    assert all(line.startswith(("would ", "Done.", "kept: ")) for line in lines), done.stdout


def test_a_host_with_a_node_only_gets_nothing_else() -> None:
    done = subprocess.run(
        ["sh", SETUP, "install", "--node", "host-b", "--dry-run"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "trading-ops-node.service" in done.stdout
    for other in ("ops-reconciler", "ops-exporter", "prometheus-alertmanager", "config apply"):
        assert other not in done.stdout


@pytest.mark.parametrize("action", ["upgrade", "restore latest"])
def test_a_prometheus_that_is_not_ours_is_left_alone_later_too(action: str) -> None:
    """Installed with --no-prometheus, which the later command does not repeat."""
    command = ["sh", str(SETUP), *action.split(), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "/etc/default/prometheus" not in done.stdout
    assert "restart prometheus" not in done.stdout


def test_the_lab_is_installed_only_if_asked() -> None:
    """And then nothing else."""
    printed = {}
    for options in ("", "--lab"):
        command = ["sh", str(SETUP), "install", *options.split(), "--dry-run"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        printed[bool(options)] = done.stdout
    assert "trading-ops-lab" not in printed[False]
    assert "trading-ops-lab.service" in printed[True]
    for other in ("ops-reconciler", "ops-exporter", "ops-node", "config apply"):
        assert other not in printed[True]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense", "--dry-run"],
        ["install", "--nonsense"],
        ["upgrade", "--lab", "--dry-run"],
    ],
)
def test_a_wrong_line_is_one_sentence(arguments: list[str]) -> None:
    done = subprocess.run(
        ["sh", SETUP, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
