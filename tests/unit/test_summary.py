"""The last line of continuous integration is the sum of its runs."""

import pytest

from tests.summary import summed_up

FIRST = "...\n====== 1 failed, 6982 passed, 2 warnings in 871.20s (0:14:31) ======\n"
SECOND = "2 passed in 1.05s\nsaid afterwards\n41 passed, 1 warning, 1 error in 8.80s\n"


@pytest.mark.parametrize(
    ("outputs", "line"),
    [
        ([FIRST], "1 failed, 6982 passed, 2 warnings in 871.20s"),
        ([FIRST, SECOND], "1 failed, 7023 passed, 3 warnings, 1 error in 880.00s"),
        ([SECOND, "E501 Line too long\n"], "41 passed, 1 warning, 2 errors in 8.80s"),
        ([""], "1 error in 0.00s"),
    ],
)
def test_the_counts_are_added(outputs: list[str], line: str) -> None:
    """A run that ended without a summary, as when the lint fails, counts as an error."""
    assert summed_up(outputs) == line
