"""How much of a long text is searched for secrets, and that none is left at the cut."""

import string
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops import redaction
from trading_ops.redaction import LONGEST_SECRET, REDACTED, redact, redact_start

LONGEST = 3 * LONGEST_SECRET
SECRET = "".join(reversed(string.ascii_letters)) * 3


@pytest.fixture(autouse=True)
def known_secret() -> Iterator[None]:
    redaction.known(SECRET)
    yield
    redaction.forget_all()


def test_a_short_text_is_redacted_in_full() -> None:
    text = f"{'x' * 100} {SECRET} password=hunter22 {'y' * 100}"
    assert redact_start(text, LONGEST) == redact(text)
    assert SECRET not in redact(text)


def test_only_the_beginning_of_a_long_text_is_searched() -> None:
    """What is searched is what is kept, and a little more: the rest costs no time."""
    beginning = f"event {SECRET} and more"
    text = f"{beginning}{'z' * 50 * LONGEST}"
    found = redact_start(text, LONGEST)
    assert found.startswith(redact(beginning))
    assert len(found) <= LONGEST


@given(
    shift=st.integers(-len(SECRET) - 20, 20), head=st.sampled_from(["", 'password": "', "token="])
)
def test_no_part_of_a_secret_is_left_at_the_cut(shift: int, head: str) -> None:
    """It is not known any more when it is cut in two, so the end is dropped."""
    before = "-" * (LONGEST + shift - len(head)) + head
    found = redact_start(f"{before}{SECRET}{'+' * LONGEST}", LONGEST)
    assert not any(letter in found.replace(REDACTED, "") for letter in set(SECRET) - set(head))
