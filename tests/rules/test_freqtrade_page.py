"""docs/freqtrade.md is followed: what it shows is taken out of it and used."""

import json
import shutil
import subprocess
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
import yaml

from tests.rules.configuration import ROOT
from tests.rules.documented import DOCS, blocks
from trading_ops.config.loading import load_settings
from trading_ops.config.targets import parse_targets
from trading_ops.domain.target import Kind

PAGE = DOCS / "freqtrade.md"
REGISTERED = indent(dedent(next(blocks(PAGE, "yaml"))), "  ")
CONTAINER: dict[str, Any] = yaml.safe_load(list(blocks(PAGE, "yaml"))[1])
(UNIT,) = blocks(PAGE, "ini")


def api_server() -> dict[str, Any]:
    """Return what step 1 adds to Freqtrade's configuration."""
    found: dict[str, Any] = json.loads(f"{{{next(blocks(PAGE, 'json'))}}}")["api_server"]
    return found


def test_the_api_is_where_the_registry_says() -> None:
    """Steps 1 and 2 name the same address, on loopback."""
    server = api_server()
    registry = parse_targets((ROOT / "targets.yml").read_text("utf-8") + REGISTERED, where="page")
    target = registry.find("freq")
    assert target
    assert target.kind is Kind.FREQTRADE
    assert target.address == f"{server['listen_ip_address']}:{server['listen_port']}"
    assert target.observe_only


def test_the_password_is_in_a_file_that_we_accept(tmp_path: Path) -> None:
    """Step 3 is run as it stands; only `make` is a stand-in."""
    commands = next(block for block in blocks(PAGE, "sh") if "freqtrade_freq" in block)
    (tmp_path / "make").write_text("#!/bin/sh\n", encoding="ascii")
    (tmp_path / "make").chmod(0o755)
    script = f"set -eu\nPATH={tmp_path}:$PATH\n{commands}"
    subprocess.run(["sh", "-c", script], cwd=tmp_path, check=True)
    settings = load_settings(environ={"TRADING_OPS_VAR": str(tmp_path / "var")})
    assert settings.secrets.stat().st_mode & 0o077 == 0
    user, _, _ = settings.freqtrade_credentials("freq").partition(":")
    assert user == api_server()["username"]


def test_a_container_is_reached_from_this_host_only_and_restarted() -> None:
    """The published address is the registered one; without a policy a dead Freqtrade stays dead."""
    (service,) = CONTAINER["services"].values()
    server = api_server()
    (port,) = service["ports"]
    host, inside = port.rsplit(":", 1)
    assert host == f"{server['listen_ip_address']}:{server['listen_port']}"
    assert inside == str(server["listen_port"])
    assert service["restart"] == "unless-stopped"


def test_compose_takes_the_file(tmp_path: Path) -> None:
    """Docker Compose itself reads it, where it is installed."""
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], check=False).returncode:
        pytest.skip("Docker Compose is not installed")
    file = tmp_path / "compose.yml"
    file.write_text(yaml.safe_dump(CONTAINER), encoding="utf-8")
    subprocess.run([docker, "compose", "-f", file, "config", "--quiet"], check=True)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """No unknown key; the program and the user that it names need not be on this machine."""
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is not installed")
    command = next(line for line in UNIT.splitlines() if line.startswith("ExecStart="))
    program = command.removeprefix("ExecStart=").split()[0]
    unit = tmp_path / "freqtrade.service"
    unit.write_text(UNIT.replace(program, "/bin/true"), encoding="utf-8")
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, complaints) == (0, [])
    assert "Restart=on-failure" in UNIT
