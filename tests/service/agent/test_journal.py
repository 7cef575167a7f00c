"""The bot's events: durable, in order, each once, and writing them never blocks the bot."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.agent.conftest import METRICS_TOKEN, Asker
from trading_ops.agent import Agent, EventJournal, EventKind, EventSeverity
from trading_ops.agent import journal as journal_module
from trading_ops.domain.bot_event import BotEventKind
from trading_ops.domain.message import Severity

KILLED = """
import os, signal, sys
from pathlib import Path
from trading_ops.agent import EventJournal
journal = EventJournal(path=Path(sys.argv[1]))
journal.open()
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 50):
    journal.add("trade", f"trade {number}", id=f"t{number}")
assert journal.flush()
print("stored", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[EventJournal]:
    journal = EventJournal(path=tmp_path / "events.sqlite")
    journal.open()
    yield journal
    journal.close()


def test_events_are_read_in_order_from_where_a_reader_stopped(journal: EventJournal) -> None:
    """Each with its number; one that is added twice is there once."""
    for number in range(5):
        journal.add("trade", f"trade {number}", id=f"t{number}", data={"fee": "0.1"})
    journal.add("trade", "reported again after a crash", id="t3")
    assert journal.flush()
    found = journal.read(after=0)
    assert [event["summary"] for event in found] == [f"trade {number}" for number in range(5)]
    assert found[0]["data"] == {"fee": "0.1"}
    rest = journal.read(after=found[2]["number"])
    assert [event["id"] for event in rest] == ["t3", "t4"]
    assert journal.head >= rest[-1]["number"]


def test_repeated_events_use_up_no_numbers(journal: EventJournal) -> None:
    """A bot that reports its latest trades at each start keeps as many events as any other."""
    for name in ("a", "b", *(["a", "b"] * 50), "c"):
        journal.add("trade", "a trade", id=name)
    assert journal.flush()
    assert [(event["id"], event["number"]) for event in journal.read(after=0)] == [
        ("a", 1),
        ("b", 2),
        ("c", 3),
    ]


def test_what_was_flushed_survives_sigkill(tmp_path: Path) -> None:
    """Two lives, the second tells some trades again: none is lost, none is listed twice."""
    path = tmp_path / "events.sqlite"
    for first in ("0", "25"):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(path), first],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert done.stdout == "stored\n"
    found = EventJournal(path=path).read(after=0)
    assert [event["id"] for event in found] == [f"t{number}" for number in range(75)]
    assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_the_oldest_are_removed(tmp_path: Path) -> None:
    """The file has a bound; numbers continue."""
    journal = EventJournal(path=tmp_path / "events.sqlite", kept=10)
    journal.open()
    for number in range(30):
        journal.add("order", str(number))
        assert journal.flush()
    journal.close()
    found = journal.read(after=0)
    assert [event["summary"] for event in found] == [str(number) for number in range(20, 30)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "gossip"},
        {"severity": "loud"},
        {"id": ""},
        {"id": "x" * 101},
        {"data": {"x": float("nan")}},
        {"data": {"x": object()}},
        {"data": {"x": "y" * 5_000}},
    ],
)
def test_what_is_no_event_is_refused_at_once(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """In the caller's own thread, where the mistake is."""
    journal = EventJournal(path=tmp_path / "events.sqlite")
    with pytest.raises(ValueError):
        journal.add(**({"kind": "trade", "summary": "x"} | wrong))


def test_a_disk_that_takes_nothing_never_blocks_the_bot(tmp_path: Path) -> None:
    """Events wait in memory, within a bound; what is lost is counted."""
    folder = tmp_path / "missing"
    journal = EventJournal(path=folder / "events.sqlite")
    journal.open()
    for number in range(journal_module.MOST_WAITING + 3):
        journal.add("signal", str(number))
    assert journal.lost == 3
    assert not journal.flush(within_seconds=0.05)
    folder.mkdir()
    assert journal.flush(within_seconds=60)
    journal.close()
    assert journal.head == journal_module.MOST_WAITING


def test_events_that_are_removed_unread_are_counted(tmp_path: Path) -> None:
    """A reader has what is not after the number that it passes, also after a restart."""
    journal = EventJournal(path=tmp_path / "events.sqlite", kept=10)
    journal.open()
    for number in range(10):
        journal.add("signal", str(number))
    assert journal.flush(within_seconds=60)
    journal.read(after=6)
    journal.add("signal", "10")
    assert journal.flush(within_seconds=60)
    journal.close()
    assert journal.lost == 0
    journal = EventJournal(path=tmp_path / "events.sqlite", kept=10)
    journal.open()
    for number in range(11, 20):
        journal.add("signal", str(number))
    assert journal.flush(within_seconds=60)
    journal.close()
    assert journal.lost == 4, "7 to 10"
    assert [event["summary"] for event in journal.read(after=0)] == [str(n) for n in range(10, 20)]


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    """New events are kept; the damaged file stays for anyone who repairs it."""
    path = tmp_path / "events.sqlite"
    path.write_bytes(b"no database at all" * 100)
    journal = EventJournal(path=path)
    journal.open()
    journal.add("system", "started")
    assert journal.flush(within_seconds=60)
    journal.close()
    assert [event["summary"] for event in journal.read(after=0)] == ["started"]
    assert path.with_name("events.sqlite.damaged").exists()


async def test_the_agent_serves_them_to_its_reconciler_only(agent: Agent, ask: Asker) -> None:
    """The health answer tells how far they are; the metrics token reads none."""
    agent.event(EventKind.RISK, "daily loss at 80 %", severity=EventSeverity.WARNING)
    assert agent.events.flush(within_seconds=60)
    _, health = await ask.get("/health")
    assert health["events"]["head"] == 1
    status, page = await ask.get("/events?after=0")
    assert status == 200
    assert page["journal"] == health["events"]["journal"]
    assert [event["severity"] for event in page["events"]] == ["warning"]
    assert (await ask.get("/events?after=0", METRICS_TOKEN))[0] == 401
    for wrong in ("x", "-1", str(2**63)):
        assert (await ask.get(f"/events?after={wrong}"))[0] == 422


def test_the_reconciler_knows_the_same_values() -> None:
    """The agent imports nothing of the reconciler, so both have the list."""
    assert {kind.value for kind in EventKind} == {kind.value for kind in BotEventKind}
    assert {severity.value for severity in EventSeverity} <= {
        severity.value for severity in Severity
    }
