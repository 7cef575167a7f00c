import io
from typing import Any

from rich.console import Console

from trading_ops_lab.cli.live_status import LiveStatus
from trading_ops_lab.cli.process_table import megabytes, state_label, table


def process(state: str = "ready", **changes: Any) -> dict[str, Any]:
    return {
        "unit": "venue", "pid": 1, "state": state, "restarts": 0, "restarts_by": "manager",
        "address": "127.0.0.1:8401", "log": "/var/[x]/venue.log", "exit_code": None, **changes,
    }  # fmt: skip


def overview(*processes: dict[str, Any], phase: str = "ready") -> dict[str, Any]:
    return {"stack": {"pid": 1, "phase": phase}, "processes": list(processes)}


def test_a_file_gets_one_line_for_each_change() -> None:
    """Without a terminal nothing is drawn over, and a state is printed once."""
    file = io.StringIO()
    with LiveStatus(Console(file=file, width=120)) as status:
        for state in ("starting", "starting", "ready", "ready"):
            status.show(overview(process(state)))
    assert file.getvalue().splitlines() == ["venue: starting", "venue: ready"]


def test_ready_is_reported_with_the_table() -> None:
    """A file gets the table once, with addresses, logs and the seconds it took."""
    file = io.StringIO()
    page = "http://127.0.0.1:8431/console"
    with LiveStatus(Console(file=file, width=120), page=page) as status:
        status.ready(overview(process()))
    output = file.getvalue()
    assert page in output
    assert "127.0.0.1:8401" in output
    assert "/var/[x]/venue.log" in output
    assert "Ready after 0.0 s." in output


def test_a_terminal_gets_a_table_in_place() -> None:
    """On a terminal the table is drawn with the hint of the phase."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120)
    with LiveStatus(console) as status:
        status.show(overview(process("starting"), phase="starting"))
        status.ready(overview(process()))
        status.show(overview(process("stopped"), phase="stopping"))
    output = file.getvalue()
    for text in ("Starting …", "Ctrl-C stops everything", "Ctrl-C again kills"):
        assert text in output


def test_states_have_labels() -> None:
    """What an operator wants to know stands beside the state."""
    assert state_label(process()) == "ready"
    assert state_label(process(restarts=1)) == "ready (restarted once)"
    assert state_label(process("backoff", exit_code=1, restarts=5)) == (
        "failing (code 1, restarted 5 times)"
    )
    dead = process("exited", exit_code=-9, restarts_by="reconciler")
    assert state_label(dead) == "exited (signal 9, the reconciler restarts it)"


def test_why_a_start_failed_stands_under_the_log() -> None:
    """The reason is whole, however long, and brackets in it are no markup."""
    file = io.StringIO()
    row = process("backoff", problem="the folder [/var] cannot be written " + "x" * 60)
    Console(file=file, width=160).print(table(overview(row)))
    assert row["problem"] in file.getvalue()


def test_memory_is_a_column_only_when_it_was_asked_for() -> None:
    """A process that is not there has no memory."""
    assert len(table(overview(process())).columns) == 4
    assert len(table(overview(process(rss_bytes=1_500_000))).columns) == 5
    assert megabytes(1_500_000) == "1.5 MB"
    assert megabytes(None) == "-"
