"""The ceiling's file: whatever is torn or damaged, no one goes on below what was issued."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_ops.botkit.nonces.ceiling import PAGE, CeilingFile, Slot, decode
from trading_ops.botkit.nonces.source import (
    MAX_CLOCK,
    MAX_CLOCK_STEP,
    MAX_NONCE,
    MIN_CLOCK,
    NonceExhausted,
    start_above,
)
from trading_ops.errors import SetupError

BLOCK = 100
USED = 28
"""Bytes of a page that say something."""


class Torn(OSError):
    """The machine died in the middle of a write."""


class Disk:
    """Writes until it is killed: of write number `at` only `size` bytes arrive."""

    def __init__(self, at: int = -1, size: int = 0) -> None:
        self.at, self.size, self.writes = at, size, 0

    def __call__(self, file: int, page: bytes, place: int) -> int:
        self.writes += 1
        if self.writes - 1 == self.at:
            os.pwrite(file, page[: self.size], place)
            raise Torn
        return os.pwrite(file, page, place)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ceiling"


def opened(path: Path, disk: Disk | None = None) -> CeilingFile:
    return CeilingFile(path, block=BLOCK, pwrite=disk or Disk())


def damage(path: Path, slot: int, byte: int) -> None:
    data = bytearray(path.read_bytes())
    data[slot * PAGE + byte] ^= 0x55
    path.write_bytes(data)


def test_a_page_torn_at_any_byte_is_the_old_one_the_new_one_or_damaged() -> None:
    """Never a third thing: the checksum covers all that is read."""
    old = Slot(write=7, ceiling=2**40).encode()
    new = Slot(write=9, ceiling=2**50 + 12_345).encode()
    for size in range(PAGE + 1):
        assert decode(new[:size] + old[size:]) in {decode(old), None, decode(new)}
        assert decode(old[:size] + new[size:]) in {decode(old), None, decode(new)}


@pytest.mark.parametrize("raised", [BLOCK, 5 * BLOCK])
@pytest.mark.parametrize("write", [0, 1])
def test_a_write_torn_at_any_byte_loses_nothing(path: Path, raised: int, write: int) -> None:
    """A raise within a block is one write, a farther one two; either may be the last."""
    for size in (*range(USED + 1), PAGE - 1, PAGE):
        path.unlink(missing_ok=True)
        opened(path).raise_to(1_000)
        disk = Disk(at=write, size=size)
        if raised == BLOCK and write == 1:
            opened(path, disk).raise_to(1_000 + raised)
            assert disk.writes == 1
            return
        with pytest.raises(Torn):
            opened(path, disk).raise_to(1_000 + raised)
        again = opened(path)
        assert 1_000 <= again.read() <= 1_000 + raised + BLOCK
        assert again.raise_to(again.read() + BLOCK) == opened(path).read()


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("raised", [1, BLOCK, BLOCK + 1, 10**6])
def test_one_damaged_slot_costs_a_block(path: Path, slot: int, raised: int) -> None:
    """Whichever it is, and however far the last raise went."""
    file = opened(path)
    file.raise_to(5_000)
    file.raise_to(5_000 + raised)
    for byte in range(USED):
        damage(path, slot, byte)
        assert 5_000 + raised <= file.read() <= 5_000 + raised + BLOCK
        damage(path, slot, byte)
    damage(path, slot, 3)
    file.raise_to(file.read() + 1)
    damage(path, 1 - slot, 3)
    assert file.read() >= 5_000 + raised  # the raise had fixed the first


def test_two_damaged_slots_are_refused_with_a_fix(path: Path) -> None:
    """No one knows what was issued: neither read nor written over."""
    file = opened(path)
    file.raise_to(5_000)
    damage(path, 0, 20)
    damage(path, 1, 9)
    before = path.read_bytes()
    for ask in (file.read, lambda: file.raise_to(10**9)):
        with pytest.raises(SetupError, match=r"ceiling: both copies .* Fix: stop all bots"):
            ask()
    assert path.read_bytes() == before
    path.write_bytes(b"")
    with pytest.raises(SetupError, match="Fix"):
        file.read()


def test_a_first_raise_that_was_never_finished_says_nothing(path: Path) -> None:
    """Else the clock of the next start would count as far ahead of what is known."""
    with pytest.raises(Torn):
        opened(path, Disk(at=0, size=12)).raise_to(10**15)
    assert opened(path).read() == 0


def test_it_never_falls_and_it_ends(path: Path) -> None:
    """A lower ceiling changes nothing; above 63 bits there is none."""
    file = opened(path)
    file.raise_to(MAX_NONCE - 1)
    assert file.raise_to(5) == MAX_NONCE - 1
    with pytest.raises(NonceExhausted, match="Fix: give the bot a new key"):
        file.raise_to(MAX_NONCE + 1)
    assert file.read() == MAX_NONCE - 1


steps = st.lists(
    st.tuples(
        st.sampled_from([1, BLOCK // 2, BLOCK, BLOCK + 1, 10**9]),
        st.none() | st.tuples(st.integers(0, 1), st.integers(0, USED)),
        st.none() | st.tuples(st.integers(0, 1), st.integers(0, USED - 1)),
    ),
    max_size=25,
)


@given(steps)
def test_no_life_begins_below_what_another_could_have_issued(
    lives: list[tuple[int, tuple[int, int] | None, tuple[int, int] | None]],
) -> None:
    """Each life reads, goes on above it, may die in a write; a slot may rot between two lives."""
    promised = 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ceiling"
        for more, torn, rot in lives:
            file = opened(path, Disk(*torn) if torn else None)
            try:
                known = file.read()
                assert known >= promised
                promised = file.raise_to(known + more)
            except Torn:
                assert torn
            except SetupError:
                return  # a tear and a rot, or two rots: it says so
            finally:
                file.close()
            if rot:
                damage(path, *rot)


def clocks() -> Iterator[tuple[int, int, int]]:
    """Known, clock, expected."""
    year = 365 * 24 * 3_600_000_000
    now = MIN_CLOCK + 6 * year
    yield 0, now, now
    yield now, now - 5 * 3_600_000_000, now  # hours back
    yield now, now + 5 * 3_600_000_000, now + 5 * 3_600_000_000
    yield now, now + 20 * year, now + MAX_CLOCK_STEP  # far ahead: bounded
    yield now, MAX_CLOCK + year, now + MAX_CLOCK_STEP
    yield 0, MAX_CLOCK + year, MAX_CLOCK
    yield MAX_CLOCK - 1, MAX_CLOCK + year, MAX_CLOCK
    yield MAX_CLOCK + year, now, MAX_CLOCK + year  # never back
    yield 5_000_000, now, now  # a first start before the clock was set
    yield 0, -5, 0


@pytest.mark.parametrize(("known", "now", "expected"), list(clocks()))
def test_a_clock_is_believed_within_bounds(known: int, now: int, expected: int) -> None:
    """Never below what is known, a year ahead of it at most, and not beyond the year 2100."""
    assert start_above(known, now) == expected


def test_any_bytes_are_read_or_refused(path: Path) -> None:
    """Whatever stands in the file, it is a ceiling or a sentence."""
    chance = random.Random(1)
    for size in (0, 1, USED, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE):
        opened(path).close()
        path.write_bytes(chance.randbytes(size))
        with pytest.raises(SetupError):
            opened(path).read()
