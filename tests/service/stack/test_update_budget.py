"""`update` refuses a bot whose error budget is spent."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.fakes import FakeWorld
from tests.unit.stack.registries import REPOSITORY
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run

LEFT = "slo:period_error_budget_remaining:ratio"


@pytest.mark.parametrize(
    ("left", "options", "refused"),
    [(-1.4, [], True), (0.2, [], False), (-1.4, ["--override-budget"], False)],
)
async def test_a_spent_error_budget_refuses_an_update(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    left: float,
    options: list[str],
    refused: bool,
) -> None:
    """Before anything is asked of the supervisor, which does not run here."""
    world = FakeWorld()
    world.samples = {LEFT: [({"bot": "alpha", "sloth_slo": "availability"}, left)]}
    async with world.server() as server:
        targets = (REPOSITORY / "targets.yml").read_text("utf-8")
        here = targets.replace("127.0.0.1:9090", f"127.0.0.1:{server.port}")
        (tmp_path / "targets.yml").write_text(here, "utf-8")
        monkeypatch.setenv("TRADING_OPS_ROOT", str(tmp_path))
        command = ["update", "alpha", "--to", sys.executable, "--reason", "a fix", *options]
        code = await asyncio.to_thread(run, command)
    errors = capsys.readouterr().err
    assert ("for availability is exhausted: 240% of the last 30 days" in errors) is refused
    assert code == (ExitCode.FAILED if refused else ExitCode.NOT_RUNNING), errors
