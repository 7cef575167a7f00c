"""“Docker” of docs/install.md, followed literally: healthy, and recovered after two kills.

Needs a Docker engine with Compose. TRADING_OPS_TEST_BASE names another base image than
`debian:12` for stand-ins (tests/compose/images.py).
"""

import json
import os
import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bench.say import say
from tests.compose.composed import ONCE, ROOT, SERVICES
from tests.compose.images import (
    GRAFANA,
    build_ours,
    copy_project,
    docker,
    missing_tools,
    provide,
)
from tests.free_ports import free_port
from tests.waiting import eventually

WHY_NOT = missing_tools()
BOT = "trading_ops_lab.paper.bot"

pytestmark = [pytest.mark.compose, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


class Composed:
    """A running copy of the project."""

    def __init__(self, folder: Path, services: list[str]) -> None:
        self.services = services
        self._folder = folder
        self._project = f"test-{uuid.uuid4().hex[:8]}"
        self._files = ["--project-directory", str(folder), "-p", self._project]
        for name in ("docker-compose.yml", "ports.yml"):
            self._files += ["-f", str(folder / name)]

    def follow_docs(self) -> None:
        """Run every command of docs/install.md, “Docker”, in the folder of the project."""
        text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
        part = text.partition("\n## Docker\n")[2].partition("\n## ")[0]
        blocks = re.findall(r"^```sh\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
        assert blocks
        files = {
            "COMPOSE_FILE": "docker-compose.yml:ports.yml",
            "COMPOSE_PROJECT_NAME": self._project,
        }
        for block in blocks:
            done = subprocess.run(
                ["sh", "-ec", block],
                cwd=self._folder,
                env=os.environ | files,  # noqa: TID251 - the client's own
                capture_output=True,
                text=True,
                check=False,
                timeout=900,
            )
            assert done.returncode == 0, f"{block}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"

    def __call__(self, *arguments: str, within: float = 900) -> str:
        return docker("compose", *self._files, *arguments, within=within)

    def inside(self, service: str, *command: str) -> str:
        return self("exec", "-T", service, *command)

    def states(self) -> dict[str, tuple[str, str]]:
        """State and health of each service that stays."""
        lines = self("ps", "--all", "--format", "json").splitlines()
        found = [json.loads(line) for line in lines]
        return {service["Service"]: (service["State"], service["Health"]) for service in found}

    def are_healthy(self) -> bool:
        states = self.states()
        wanted = {("running", "healthy"), ("running", "")}
        return all(states[name] in wanted for name in self.services if name not in ONCE)

    def closed_incidents(self) -> list[dict[str, Any]]:
        """The incidents of a dead bot that were closed."""
        command = ("trading-ops", "incidents", "--alert", "TradingBotDown", "--output", "json")
        found: list[dict[str, Any]] = json.loads(self.inside("reconciler", *command))
        return [incident for incident in found if incident["closed_at"]]

    def pid(self, service: str, pattern: str) -> str:
        """The pid, in its container, of the process with this command line."""
        script = (
            "import pathlib, sys\n"
            "for file in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
            "    words = file.read_bytes().split(b'\\0')\n"
            "    if words[0].endswith(b'python') and sys.argv[1].encode() in words:\n"
            "        print(file.parent.name)\n"
        )
        return self.inside(service, "python", "-c", script, pattern).split()[0]


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """The committed project, on other ports."""
    stand_ins = provide(without=[GRAFANA])
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    ports = [f"127.0.0.1:{free_port()}:{inside}" for inside in (3000, 9090, 9093)]
    override = (
        "services:\n"
        f"  net: {{ports: !override {json.dumps(ports)}}}\n"
        "  grafana: {profiles: [never]}\n"
        "  migrate: {pull_policy: never, build: !reset null}\n"
    )
    build_ours(folder)
    (folder / "ports.yml").write_text(override)
    run = Composed(folder, [name for name in SERVICES if name != "grafana"])
    say(f"stand-ins: {', '.join(stand_ins) or 'none built'}")
    try:
        began = time.monotonic()
        run.follow_docs()
        say(f"up and healthy after {time.monotonic() - began:.0f} s")
        yield run
    finally:
        run("down", "--volumes", "--timeout", "10")


def test_every_service_becomes_healthy(composed: Composed) -> None:
    states = composed.states()
    for name in sorted(states):
        say(f"{name:<14} {' '.join(states[name])}")
    assert composed.are_healthy()
    assert {states[name][0] for name in ONCE} <= {"exited"}


async def test_a_killed_bot_is_restarted_and_verified(composed: Composed) -> None:
    began = time.monotonic()
    victim = composed.pid("bot", BOT)
    composed.inside("bot", "kill", "-9", victim)
    (closed,) = await eventually(composed.closed_incidents, within=180, what="it is closed")
    say(f"bot killed: closed after {time.monotonic() - began:.1f} s")
    assert closed["close_reason"] == "recovered"
    assert composed.pid("bot", BOT) != victim


async def test_a_bot_that_dies_with_the_reconciler_is_restarted(composed: Composed) -> None:
    began = time.monotonic()
    before = len(composed.closed_incidents())
    composed.inside("bot", "kill", "-9", composed.pid("bot", BOT))
    composed.inside("reconciler", "kill", "-9", composed.pid("reconciler", "trading_ops.app"))
    await eventually(composed.are_healthy, within=180, what="all are healthy again")
    say(f"reconciler and bot killed: healthy after {time.monotonic() - began:.1f} s")
    await eventually(lambda: len(composed.closed_incidents()) > before, within=180)
    say(f"reconciler and bot killed: closed after {time.monotonic() - began:.1f} s")


def test_configurations_of_this_file_are_read(composed: Composed) -> None:
    config = yaml.safe_load(composed("config"))
    assert set(config["services"]) == set(composed.services)
