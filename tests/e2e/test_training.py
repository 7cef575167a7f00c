"""An exercise for on-call on the running stack: answered right, graded, and cleaned up."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.stack import ROOT, Stack, running_stack
from trading_ops_lab.drills.lab_clients import Scene
from trading_ops_lab.drills.training import POINTS, make_exercise

pytestmark = pytest.mark.slow

ALERTS = ("TradingBotBrokerDisconnected", "TradingMarketClosed")
"""One that automation remediates, and one that is page-only."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own: an exercise does not start while another test's alert is flapping."""
    with running_stack(tmp_path_factory.mktemp("training")) as stack:
        yield stack


@pytest.mark.parametrize("alert", ALERTS)
async def test_an_exercise_is_graded_and_leaves_nothing_behind(
    stack: Stack, scene: Scene, alert: str
) -> None:
    """While it runs automation is paused; at the end it runs, and the incident is closed."""
    seed = next(n for n in range(1000) if make_exercise(scene.runbooks, n).alert == alert)
    questions = make_exercise(scene.runbooks, seed).questions
    typed = "".join(f"{next(iter(question.right))}\n" for question in questions)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "trading_ops.cli.main", "training",
         "--seed", str(seed), "--output", "json"],
        cwd=ROOT,
        env=stack.whole_environ,
        input=typed,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    grade = json.loads(done.stdout)
    assert grade["points"] == POINTS
    assert grade["alert"] == alert
    assert grade["remediated"]
    assert (await scene.reconciler.status()).pause is None
    assert not await scene.reconciler.incidents(open="true", alertname=alert)
