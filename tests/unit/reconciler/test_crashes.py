"""When an incident that crashed is left alone, and when it is processed again."""

import pytest

from trading_ops.reconciler.crash_recovery import LIMIT, is_set_aside

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
        ([*[CRASH] * LIMIT, "escalated", "decided_wait", "silence_laid"], True),
    ],
)
def test_at_the_limit_until_an_operator_takes_it_up(kinds: list[str], *, aside: bool) -> None:
    """Crashes are counted over the incident's whole life; each acknowledgement gives one try."""
    assert is_set_aside(kinds) is aside
