"""`trading-ops incidents` with the stack stopped: the timeline comes from the database."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.builders import LABELS, make_alert, make_wanted
from tests.databases import place_database
from tests.open_incidents import open_incidents
from trading_ops import clock
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run
from trading_ops.cli.timeline import WIDTH
from trading_ops.config.loading import load_settings
from trading_ops.domain.acknowledgement import AcknowledgementKind
from trading_ops.domain.attempt import AttemptState
from trading_ops.domain.decision import Close, Escalate, GlobalLimits, Reason
from trading_ops.store import acknowledgements, attempts, events, incidents
from trading_ops.store.engine import writing_engine
from trading_ops.store.writer import transaction

LONG = "it said " + "nothing at all that would help anybody " * 4
HOSTILE = LABELS | {"symbol": "\x1b[2J\x07\u202e", "note": "é" * 90}


def live_through(connection: Connection) -> str:
    """Everything that can happen to one incident; return its id."""
    now = clock.now() - timedelta(hours=1)

    incidents.open_all(
        connection,
        [incidents.FiringAlert(alert=make_alert(labels=HOSTILE), target="alpha")],
        received_at=now,
        now=now + timedelta(seconds=0.01),
        source="webhook",
    )
    (incident,) = open_incidents(connection)
    events.add(
        connection,
        at=now + timedelta(seconds=0.02),
        kind="decided_wait",
        incident_id=incident.id,
        reason=Reason.COOLDOWN,
        note="would have run reconnect_broker",
    )
    plan = attempts.StartRequest(gate_input=make_wanted(incident))
    attempt = attempts.start(connection, plan, now=now + timedelta(seconds=2))
    assert attempt is not None
    attempts.finish(
        connection,
        attempt,
        AttemptState.FAILED,
        detail=LONG,
        now=now + timedelta(seconds=4),
        only_from=(AttemptState.STARTED,),
        log=["ValueError: no price", "\x1b[2J" + LONG],
    )
    asked = Escalate(reason=Reason.STORM)
    incidents.escalate(connection, incident.id, asked, now=now + timedelta(seconds=5))
    acknowledgements.begin(
        connection,
        incident_id=incident.id,
        kind=AcknowledgementKind.ACKNOWLEDGE,
        owner="ada",
        note="I look at it",
        until=now + timedelta(hours=1),
        now=now + timedelta(seconds=60),
    )
    close = Close(reason=Reason.RESOLVED)
    incidents.close(connection, incident.id, close, now=now + timedelta(hours=4))
    return incident.id


@pytest.fixture
def incident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, migrated_sqlite: Path) -> str:
    """A project folder whose database has one incident; nothing runs."""
    monkeypatch.setenv("TRADING_OPS_ROOT", str(tmp_path))
    url = load_settings().database_url
    place_database(migrated_sqlite, url)
    engine = writing_engine(url)
    with transaction(engine, b"key") as connection:
        key = live_through(connection)
    engine.dispose()
    return key


def test_the_whole_timeline_is_printed(incident: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Received, decided, attempted, handed to on-call, acknowledged, closed: all with reasons."""
    assert run(["incidents", "show", incident[:8]]) == ExitCode.OK
    output = capsys.readouterr()
    assert output.err.count("\n") == 1
    assert "reading its database" in output.err
    for part in (
        "BotSick on alpha: closed (resolved)",
        "on-call",
        "+0.000 s  received         webhook",
        "decided_wait     cooldown would have run reconnect_broker",
        "+2.000 s  started          reconnect_broker on alpha",
        "+4.000 s  last_lines\n     ValueError: no price\n",
        "escalated        storm",
        "acknowledged     I look at it (by ada)",
        "+4:00:00  closed           resolved",
        "1. reconnect_broker on alpha: failed",
        "step 1 of BotSick, idempotent, fence 1",
        "after 2.0 s",
        "detail      it said nothing",
    ):
        assert part in output.out, output.out
    assert all(len(line) <= WIDTH for line in output.out.splitlines()), output.out


def test_nothing_in_it_steers_the_terminal(
    incident: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A label is written by anyone who can write a metric."""
    assert run(["incidents", "show", incident]) == ExitCode.OK
    output = capsys.readouterr().out
    assert r"\x1b[2J\x07\u202e" in output
    assert output.replace("\n", "").isprintable()


def test_a_machine_gets_all_of_it(incident: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Fences, parameters, what was before and after."""
    assert run(["incidents", "show", incident, "--output", "json"]) == ExitCode.OK
    timeline = json.loads(capsys.readouterr().out)
    assert timeline["incident"]["id"] == incident
    assert (timeline["attempts"][0]["fence"], timeline["attempts"][0]["step"]) == (1, 0)
    changes = {event["kind"]: event for event in timeline["events"]}
    assert json.loads(changes["failed"]["before"]) == {"state": "started"}
    assert json.loads(changes["failed"]["after"])["state"] == "failed"
    assert changes["acknowledged"]["actor"] == "ada"


def test_the_list_too(incident: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same filters as with a running reconciler."""
    assert run(["incidents"]) == ExitCode.OK
    assert incident[:8] in capsys.readouterr().out
    assert run(["incidents", "--open", "--output", "json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == []


def test_whose_it_is_and_why_nothing_happens(
    incident: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the list, from what is stored: nothing decided, an alert that flaps, a snooze."""
    del incident
    now = clock.now()
    engine = writing_engine(load_settings().database_url)

    def listed() -> tuple[Any, str]:
        assert run(["incidents", "--open", "--output", "json"]) == ExitCode.OK
        (found,) = json.loads(capsys.readouterr().out)
        assert run(["incidents", "--open"]) == ExitCode.OK
        return found["status"], capsys.readouterr().out

    with transaction(engine, b"key") as connection:
        sighting = incidents.FiringAlert(alert=make_alert(), target="alpha")
        incidents.open_all(connection, [sighting], received_at=now, now=now, source="webhook")
        (key,) = (opened.id for opened in open_incidents(connection))
    assert listed()[0]["state"] == "new"
    with transaction(engine, b"key") as connection:
        incidents.go_quiet(connection, key, now=now)
        for reason in (Reason.COOLDOWN, Reason.FLAPPING):
            events.add(
                connection, at=now, kind="decided_wait", incident_id=key, reason=reason, note="x"
            )
    status, output = listed()
    assert (status["state"], status["note"]) == ("flapping", "x")
    assert datetime.fromisoformat(status["until"]) - now == GlobalLimits().flap_quiet
    assert "flapping until" in output
    with transaction(engine, b"key") as connection:
        incidents.escalate(connection, key, Escalate(reason=Reason.STORM), now=now)
        events.add(connection, at=now, kind="decided_escalate", incident_id=key, reason="storm")
    assert "escalated" in listed()[1]
    with transaction(engine, b"key") as connection:
        acknowledgements.begin(
            connection,
            incident_id=key,
            kind=AcknowledgementKind.SNOOZE,
            owner="ada",
            note="",
            until=now + timedelta(hours=1),
            now=now,
        )
    engine.dispose()
    status, output = listed()
    assert (status["state"], status["owner"]) == ("snoozed", "ada")
    assert "snoozed until" in output


def test_one_that_is_not_there(incident: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence, and the exit code of a failure."""
    del incident
    assert run(["incidents", "show", "nothing%"]) == ExitCode.FAILED
    assert "no incident matches nothing%" in capsys.readouterr().err


def test_times(incident: str, capsys: pytest.CaptureFixture[str]) -> None:
    """To the first response and to the end, as text and as JSON."""
    del incident
    assert run(["incidents", "stats"]) == ExitCode.OK
    output = capsys.readouterr().out
    assert "BotSick" in output
    assert "2.0 2.0 2.0 2.0" in output
    assert run(["incidents", "stats", "--since", "99999999999999d", "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["alerts"][0]["escalated"] == 1
    assert found["total"]["close"]["count"] == 1
    assert run(["incidents", "stats", "--since", "1ms"]) == ExitCode.OK
    assert "no incidents in the last 1ms" in capsys.readouterr().out
    assert run(["incidents", "stats", "--since", "soon"]) == ExitCode.USAGE


def test_without_a_database_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then the first sentence counts: there is no stack."""
    monkeypatch.setenv("TRADING_OPS_ROOT", str(tmp_path))
    assert run(["incidents"]) == ExitCode.NOT_RUNNING
    assert "no stack is running here" in capsys.readouterr().err
    assert run(["incidents", "stats"]) == ExitCode.FAILED
    assert "does not exist" in capsys.readouterr().err


def test_a_post_mortem_has_the_facts(incident: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every event of the timeline is a row; what labels say cannot break the table."""
    assert run(["incidents", "show", incident, "--output", "json"]) == ExitCode.OK
    incident_view = json.loads(capsys.readouterr().out)
    assert run(["incidents", "post-mortem", incident[:8]]) == ExitCode.OK
    output = capsys.readouterr().out
    timeline = output.partition("## Timeline")[2].partition("## Root cause")[0]
    rows = [line for line in timeline.splitlines() if line.startswith("| 2")]
    assert len(rows) == len(incident_view["events"])
    assert all(row.replace(r"\|", "").count("|") == 6 for row in rows)
    for part in ("# Post-mortem: BotSick on alpha", "reconnect\\_broker", "## Action items"):
        assert part in output, output


def test_an_unknown_incident_has_no_post_mortem(
    incident: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and the id that was asked for."""
    assert incident
    assert run(["incidents", "post-mortem", "nothing"]) == ExitCode.FAILED
    assert "nothing" in capsys.readouterr().err
