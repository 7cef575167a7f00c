"""The list of incidents: whose each is or why nothing happens, in 80 columns."""

from datetime import timedelta

import pytest
from rich.console import Console

from trading_ops import clock
from trading_ops.cli.incidents import incident_table, state_words
from trading_ops.cli.times import short
from trading_ops.clients.reconciler_views import IncidentStatusView, ListedIncidentView

NOW = clock.now()
SOON = NOW + timedelta(minutes=30)


def listed(status: IncidentStatusView | None, **over: object) -> ListedIncidentView:
    """Return an incident with a long name."""
    values: dict[str, object] = {
        "id": "3f2a0000-0000",
        "alert": "TradingBotBrokerDisconnected",
        "target": "alpha-of-the-second-venue",
        "labels": {},
        "starts_at": NOW,
        "received_at": NOW,
        "opened_at": NOW,
        "escalated_at": None,
        "closed_at": None,
        "close_reason": None,
        "status": status,
    }
    return ListedIncidentView(**values | over)  # type: ignore[arg-type]


CASES = [
    (IncidentStatusView("acknowledged", owner="ada (token local)"), "ada's"),
    (IncidentStatusView("snoozed", owner="ada", until=SOON), f"snoozed until {short(SOON)}"),
    (IncidentStatusView("flapping", until=SOON), f"flapping until {short(SOON)}"),
    (IncidentStatusView("paused", until=SOON), f"paused until {short(SOON)}"),
    (IncidentStatusView("paused"), "paused"),
    (IncidentStatusView("escalated"), "escalated"),
    (IncidentStatusView("new"), "open"),
    (IncidentStatusView("step_due"), "recovering"),
    (IncidentStatusView("page_only"), "page-only"),
    (IncidentStatusView("cause_elsewhere"), "cause elsewhere"),
    (None, "open"),
]


@pytest.mark.parametrize(
    ("status", "message"),
    CASES,
    # No times: each process that runs tests must collect the same.
    ids=lambda _: "",
)
def test_why_nothing_happens_is_reported(status: IncidentStatusView | None, message: str) -> None:
    """In few words."""
    assert state_words(listed(status)) == message


def test_how_it_ended_and_an_older_answer() -> None:
    """A closed one says how and after how long; without a status there is still something."""
    closed = listed(None, closed_at=NOW + timedelta(seconds=3), close_reason="recovered")
    assert state_words(closed) == "recovered after 3.0 s"
    assert state_words(listed(None, escalated_at=NOW)) == "escalated"


def test_nothing_is_cut_off_in_80_columns() -> None:
    """Long cells go on in the next line; markup in a name is text."""
    console = Console(width=80, record=True, file=None, force_terminal=False)
    rows = [listed(status, alert="[red]BotSick[/]") for status, _ in CASES]
    with console.capture() as capture:
        console.print(incident_table([*rows, listed(CASES[1][0])]))
    output = capture.get()
    assert all(len(line.rstrip()) <= 80 for line in output.splitlines())
    assert "…" not in output
    assert "[red]BotSick[/]" in output
    assert "snoozed until" in output


def test_a_moment_of_another_year_has_its_year() -> None:
    """A list may go back further than a year."""
    assert len(short(NOW)) == len("03-01 12:00:00")
    assert short(NOW.replace(year=NOW.year - 1, day=1)).startswith(f"{NOW.year - 1}-")
