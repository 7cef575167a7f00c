"""When an incident that crashed is left alone, and when it is processed again."""

from datetime import timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from tests.builders import make_incident
from trading_ops.reconciler.crash_recovery import (
    LIMIT,
    SUSPECTS_SECONDS,
    CrashCounter,
    is_set_aside,
)

CRASH = "incident_crashed"


@pytest.mark.parametrize(
    ("kinds", "aside"),
    [
        ([], False),
        (["opened", *[CRASH] * (LIMIT - 1)], False),
        (["opened", *[CRASH] * LIMIT, "escalated"], True),
        ([CRASH, "started", CRASH, "acknowledgement_renewed", CRASH, "escalated"], True),
        ([*[CRASH] * LIMIT, "escalated", "acknowledged"], False),
        ([*[CRASH] * LIMIT, "escalated", "acknowledged", CRASH], True),
        ([*[CRASH] * LIMIT, "escalated", "acknowledged", CRASH, "withdrawn"], False),
        (["acknowledged", *[CRASH] * (LIMIT - 1), "withdrawn", CRASH], True),
        ([*[CRASH] * LIMIT, "escalated", "decided_wait", "silence_placed"], True),
    ],
)
def test_at_the_limit_until_an_operator_takes_it_up(kinds: list[str], *, aside: bool) -> None:
    """Crashes are counted over the incident's whole life; each acknowledgement gives one try."""
    assert is_set_aside(kinds) is aside


def test_a_pass_has_time_for_some_suspects_and_the_next_one_begins_with_the_others() -> None:
    """After a death in a storm there are hundreds; each of them has its turn in the end."""
    unused: Any = None
    crashes = CrashCounter(writer=unused)
    suspects = [make_incident(id=f"{number}", target="alpha") for number in range(10)]
    handled: list[str] = []
    with freeze_time() as clock:
        for _ in range(3):
            for suspect in crashes.one_at_a_time(suspects):
                handled.append(suspect.id)
                clock.tick(timedelta(seconds=SUSPECTS_SECONDS / 4))
            assert set(crashes.postponed).isdisjoint(handled[-4:])
    assert len(handled) == 12
    assert set(handled) == {suspect.id for suspect in suspects}


def test_remediable_suspects_come_first_and_all_are_handled_when_there_is_time() -> None:
    unused: Any = None
    crashes = CrashCounter(writer=unused)
    suspects = [make_incident(id="page-only", target=None), make_incident(id="bot", target="alpha")]
    order = [suspect.id for suspect in crashes.one_at_a_time(suspects)]
    assert (order, crashes.postponed) == (["bot", "page-only"], ())


def test_a_suspect_that_cannot_be_handled_is_not_first_again() -> None:
    """A store that fails ends the pass; the next one begins with another suspect."""
    unused: Any = None
    crashes = CrashCounter(writer=unused)
    suspects = [make_incident(id=f"{number}", target="alpha") for number in range(3)]
    first = next(iter(crashes.one_at_a_time(suspects)))
    again = next(iter(crashes.one_at_a_time(suspects)))
    assert (first.id, again.id) == ("0", "1")


def test_postponed_ones_that_were_closed_are_forgotten() -> None:
    """Otherwise each pass makes them due again, and the loop never rests."""
    unused: Any = None
    crashes = CrashCounter(writer=unused)
    next(iter(crashes.one_at_a_time([make_incident(id=key, target="alpha") for key in "ab"])))
    assert set(crashes.postponed) == {"b"}
    assert list(crashes.one_at_a_time([])) == []
    assert not crashes.postponed
