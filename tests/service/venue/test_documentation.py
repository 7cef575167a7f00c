"""Every command of the venue's documentation works as it is written there."""

import json
import re
from pathlib import Path

import pytest

from tests.service.venue.harness import FaultCaller
from trading_ops_lab.paper.venue.faults import KINDS
from trading_ops_lab.paper.venue.venue import Venue

pytestmark = pytest.mark.processes

PAGE = (Path(__file__).parents[3] / "docs" / "paper-venue.md").read_text()
FAULTS = [json.loads(body) for body in re.findall(r"^\| `fault '(.*?)'` \|", PAGE, re.MULTILINE)]
CHANGES = re.findall(r"^manual (\S+) -d '(.*)'$", PAGE, re.MULTILINE)


def test_every_fault_is_documented() -> None:
    """The table has each kind, and no other."""
    assert {fault["kind"] for fault in FAULTS} == set(KINDS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault["kind"]))
async def test_a_documented_fault_begins_and_ends(
    venue: Venue, faults: FaultCaller, fault: dict[str, object]
) -> None:
    """The venue takes it as it is written, and is fixed by one call."""
    status, body = await faults.call("POST", "/faults", json=fault)
    assert status == 201, body
    assert await faults.call("DELETE", "/faults") == (200, {"cleared": [body["id"]]})


@pytest.mark.parametrize(("path", "body"), CHANGES)
async def test_a_documented_hand_works(
    venue: Venue, faults: FaultCaller, path: str, body: str
) -> None:
    """Deposits, withdrawals and trades manually."""
    status, answer = await faults.call("POST", path, json=json.loads(body))
    assert status == 200, answer


def test_there_are_hands() -> None:
    assert len(CHANGES) == 4
