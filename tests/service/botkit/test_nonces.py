"""Nonces: strictly increasing over restarts, clocks and processes, and never without a ceiling."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.crash.fork_server import ROOT
from tests.service.botkit.conftest import sample, until
from trading_ops.botkit.nonces import issuer
from trading_ops.botkit.nonces.ceiling import PAGE, CeilingFile
from trading_ops.botkit.nonces.exclusive import ExclusiveSource
from trading_ops.botkit.nonces.folder import key_folder
from trading_ops.botkit.nonces.issuer import (
    JUMP,
    RESYNC_JUMP,
    Nonces,
    Sharing,
    open_nonces,
)
from trading_ops.botkit.nonces.shared import SharedSource
from trading_ops.botkit.nonces.source import NonceExhausted, wall_clock
from trading_ops.errors import SetupError, StoreError
from trading_ops.instrument import BotMetrics

NOW = 1_800_000_000_000_000
HOUR = 3_600_000_000
Make = Callable[..., ExclusiveSource | SharedSource]

both = pytest.mark.parametrize("make", [ExclusiveSource, SharedSource])


@both
def test_nonces_increase_whatever_the_clock_does(make: Make, tmp_path: Path) -> None:
    """Over clocks that stand, go back by hours or run ahead, with a new process each time."""
    issued = []
    for now in (NOW, NOW, NOW - 9 * HOUR, NOW + 1, 5, NOW + HOUR, NOW + 9999 * HOUR, NOW):
        source = make(tmp_path / "key", block=10, microseconds=lambda now=now: now)
        issued += [source.issue() for _ in range(37)]
        source.close()
    assert issued == sorted(set(issued))
    assert issued[0] == NOW + 1


@both
def test_it_begins_at_the_clock_the_ceiling_or_the_floor(make: Make, tmp_path: Path) -> None:
    """Whichever is the highest."""

    def first(now: int, floor: int = 0) -> int:
        source = make(tmp_path / "key", floor=floor, block=100, microseconds=lambda: now)
        nonce = source.issue()
        assert nonce <= source.reserved <= nonce + 200
        source.close()
        return nonce

    assert first(NOW) == NOW + 1
    assert first(NOW) == NOW + 101
    assert first(NOW + HOUR) == NOW + HOUR + 1
    assert first(NOW, floor=NOW + 2 * HOUR) == NOW + 2 * HOUR + 1
    assert first(NOW, floor=5) == NOW + 2 * HOUR + 101


@both
def test_a_damaged_file_is_refused_or_jumped_over(make: Make, tmp_path: Path) -> None:
    """One slot: a block is lost. Both: nothing starts, and the sentence says what to do."""
    key = tmp_path / "key"

    def open_one() -> ExclusiveSource | SharedSource:
        return make(key, block=100, microseconds=lambda: NOW)

    source = open_one()
    last = [source.issue() for _ in range(130)][-1]
    source.close()
    original = bytearray((key / "ceiling").read_bytes())
    for slot in (0, 1):
        rotten = original.copy()
        rotten[slot * PAGE + 9] ^= 1
        (key / "ceiling").write_bytes(rotten)
        source = open_one()
        assert last < source.issue() <= last + 400
        source.close()
    (key / "ceiling").write_bytes(b"x" * 2 * PAGE)
    for _ in range(2):
        with pytest.raises(SetupError, match="Fix: stop all bots of this key"):
            open_one()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """With a sentence that says who has the key and what to do; those who share get along."""
    key = tmp_path / "key"
    owner = ExclusiveSource(key)
    for make in (ExclusiveSource, SharedSource):
        with pytest.raises(
            SetupError, match=rf"pid {os.getpid()}\) owns .* Fix: stop it"
        ) as raised:
            make(key)
        assert '"nonces": "shared"' in str(raised.value)
    owner.close()
    first, second = SharedSource(key), SharedSource(key)
    first.close()
    with pytest.raises(SetupError, match="owns or shares"):
        ExclusiveSource(key)
    second.close()
    ExclusiveSource(key).close()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, metrics: BotMetrics) -> None:
    """A file in its place, as a disk that is read-only or full would be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"Not a directory.*nonce_dir"):
        open_nonces(tmp_path / "file", "k", metrics)
    (tmp_path / "key" / "ceiling").mkdir(parents=True)
    with pytest.raises(SetupError, match=r"Is a directory.*nonce_dir"):
        ExclusiveSource(tmp_path / "key")
    (tmp_path / "key" / "ceiling").rmdir()
    ExclusiveSource(tmp_path / "key").close()  # what failed has let go of the folder


FULL = """
import resource, sys
from pathlib import Path
from trading_ops.botkit.nonces.exclusive import ExclusiveSource
from trading_ops.botkit.nonces.shared import SharedSource
from trading_ops.botkit.nonces.source import NonceExhausted

source = globals()[sys.argv[1]](Path(sys.argv[2]), block=1000)
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))  # no write succeeds any more
issued = [source.issue() for _ in range(1000)]
for _ in range(3):
    try:
        source.issue()
    except NonceExhausted as error:
        assert "ceiling: no more nonces can be reserved" in str(error), error
        assert "Fix: free disk space" in str(error), error
    else:
        raise SystemExit("a nonce was issued that is not reserved")
try:
    source.raise_to(issued[-1] + 5000)
except NonceExhausted:
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
issued += [source.issue() for _ in range(5000)]
assert issued == sorted(set(issued))
"""


@pytest.mark.parametrize("design", ["ExclusiveSource", "SharedSource"])
def test_a_full_disk_is_outlived_within_the_block(design: str, tmp_path: Path) -> None:
    """The reserved ones are issued, then none; when there is room again it continues."""
    subprocess.run(
        [sys.executable, "-c", FULL, design, str(tmp_path / "key")],
        check=True,
        timeout=60,
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
    )


FORKED = """
import os, sys
from pathlib import Path
from trading_ops.botkit.nonces.exclusive import ExclusiveSource
from trading_ops.botkit.nonces.shared import SharedSource
from trading_ops.botkit.nonces.source import NonceExhausted

source = globals()[sys.argv[1]](Path(sys.argv[2]))
source.issue()
child = os.fork()
if child == 0:
    try:
        source.issue()
    except NonceExhausted as error:
        os._exit(0 if "forked" in str(error) else 1)
    os._exit(2)
assert os.waitpid(child, 0)[1] == 0
source.issue()
"""


@pytest.mark.parametrize("design", ["ExclusiveSource", "SharedSource"])
def test_a_forked_child_issues_nothing(design: str, tmp_path: Path) -> None:
    """It would continue with a copy of the count."""
    subprocess.run(
        [sys.executable, "-c", FORKED, design, str(tmp_path / "key")],
        check=True,
        timeout=60,
        cwd=ROOT,
    )


CLOSED = """
import os, sys
from pathlib import Path
from trading_ops.botkit.nonces.exclusive import ExclusiveSource
from trading_ops.botkit.nonces.shared import SharedSource

source = globals()[sys.argv[1]](Path(sys.argv[2]))
source.close()
theirs = [os.open(os.devnull, os.O_RDONLY) for _ in range(5)]  # the numbers that it had
child = os.fork()
if child == 0:
    for file in theirs:
        os.fstat(file)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("design", ["ExclusiveSource", "SharedSource"])
def test_a_forked_child_closes_no_file_of_another_process(design: str, tmp_path: Path) -> None:
    """What was closed before the fork has given its descriptors' numbers away."""
    subprocess.run(
        [sys.executable, "-c", CLOSED, design, str(tmp_path / "key")],
        check=True,
        timeout=60,
        cwd=ROOT,
    )


def more_than(source: ExclusiveSource | SharedSource, reserved: int) -> bool:
    return source.reserved > reserved


@both
async def test_more_is_reserved_before_it_is_needed(make: Make, tmp_path: Path) -> None:
    """With half of a block left, and again with half of the next."""
    source = make(tmp_path / "key", block=1000)
    for _ in range(3):
        reserved = source.reserved
        while source.issue() < reserved - 400:
            pass
        await until(partial(more_than, source, reserved))
    source.close()


@both
def test_threads_get_each_number_once(make: Make, tmp_path: Path) -> None:
    """Each sees its own increase, and jumps of another thread are kept."""
    source = make(tmp_path / "key", block=1000)
    got: list[list[int]] = [[] for _ in range(4)]

    def work(mine: list[int]) -> None:
        for turn in range(20_000):
            if turn % 5_000 == 4_999:
                source.raise_to(mine[-1] + 3_000)
            mine.append(source.issue())

    threads = [threading.Thread(target=work, args=(mine,)) for mine in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    source.close()
    assert all(mine == sorted(mine) for mine in got)
    assert len({nonce for mine in got for nonce in mine}) == 80_000
    assert all(mine[4_999] > mine[4_998] + 3_000 for mine in got)


@both
@pytest.mark.parametrize("block", [50, 5_000])
def test_a_count_that_is_moved_again_and_again_gives_nothing_twice(
    make: Make, tmp_path: Path, block: int
) -> None:
    """Just above what is issued meanwhile, where a step taken late would collide."""
    source = make(tmp_path / "key", block=block)
    got: list[list[int]] = [[] for _ in range(3)]

    def work(mine: list[int]) -> None:
        mine.extend(source.issue() for _ in range(8_000))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in got]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            source.raise_to(source.reserved - block)
    finally:
        sys.setswitchinterval(before)
    source.close()
    assert all(mine == sorted(mine) for mine in got)
    assert len({nonce for mine in got for nonce in mine}) == 24_000


@both
def test_a_closed_one_issues_nothing(make: Make, tmp_path: Path) -> None:
    """Another process may have the key by then."""
    source = make(tmp_path / "key")
    source.close()
    source.close()
    for ask in (source.issue, lambda: source.raise_to(NOW)):
        with pytest.raises(NonceExhausted, match="closed"):
            ask()


def test_those_who_share_count_in_one_order(tmp_path: Path) -> None:
    """Each is above what the other had before; who comes later joins the count."""
    first = SharedSource(tmp_path / "key", block=7)
    second = SharedSource(tmp_path / "key", block=7)
    issued = [source.issue() for _ in range(50) for source in (first, second)]
    third = SharedSource(tmp_path / "key", block=7, floor=issued[-1] + 1_000_000)
    issued += [source.issue() for source in (first, third, second)]
    assert issued == sorted(set(issued))
    assert issued[-3] > issued[-4] + 1_000_000
    first.close()
    assert second.issue() > issued[-1]
    assert (
        second.reserved
        == third.reserved
        == CeilingFile(tmp_path / "key" / "ceiling", block=7).read()
    )


class Heard:
    """Another machine that receives what was reserved; it can be down."""

    def __init__(self) -> None:
        self.reserved = 0
        self.away = False

    async def __call__(self, reserved: int) -> None:
        if self.away:
            raise StoreError("the database is away")
        self.reserved = reserved


def nonces(
    folder: Path,
    metrics: BotMetrics,
    *,
    may_resync: Callable[[], bool] = lambda: True,
    publish: Heard | None = None,
) -> Nonces:
    source = ExclusiveSource(folder / "key", block=3_000, microseconds=lambda: NOW)
    return Nonces(source, metrics, may_resync=may_resync, publish=publish, microseconds=lambda: NOW)


async def test_a_refused_nonce_jumps(tmp_path: Path, metrics: BotMetrics) -> None:
    """Past the clock and all that was issued, durable, and counted."""
    ours = nonces(tmp_path, metrics)
    await ours.reserve()
    for _ in range(2):
        first = ours.issue()
        assert await ours.jump_ahead()
        assert first + JUMP < ours.issue() < first + 2 * JUMP
    assert await ours.resync()
    last = ours.issue()
    assert last > first + JUMP + RESYNC_JUMP
    assert sample(metrics, "trading_nonces_refused_total") == 2
    assert sample(metrics, "trading_nonce_resyncs_total") == 3
    assert sample(metrics, "trading_nonces_issued_total") == 5
    ours.close()
    assert CeilingFile(tmp_path / "key" / "ceiling", block=3_000).read() >= last


async def test_a_recovery_gets_past_a_clock_that_ran_ahead(
    tmp_path: Path, metrics: BotMetrics
) -> None:
    """The count stood while another client used the clock for days."""
    source = ExclusiveSource(tmp_path / "key", microseconds=lambda: NOW)
    ours = Nonces(source, metrics, microseconds=lambda: NOW + 72 * HOUR)
    assert ours.issue() < NOW + HOUR
    await ours.jump_ahead()
    assert ours.issue() > NOW + 72 * HOUR + JUMP


async def test_without_the_lease_nothing_is_remediated(tmp_path: Path, metrics: BotMetrics) -> None:
    """A process that was replaced must not come back by jumping past its successor."""
    ours = nonces(tmp_path, metrics, may_resync=lambda: False)
    first = ours.issue()
    assert not await ours.jump_ahead()
    assert await ours.resync() is None
    assert ours.issue() == first + 1
    assert sample(metrics, "trading_nonces_refused_total") == 1
    assert sample(metrics, "trading_nonce_resyncs_total") == 0


async def test_a_new_leader_goes_on_above_the_old_one(tmp_path: Path, metrics: BotMetrics) -> None:
    """What the old one published is above all that it issued, jumps and new blocks included."""
    published = Heard()
    old = nonces(tmp_path / "old", metrics, publish=published)
    with pytest.raises(NonceExhausted, match="published"):
        old.issue()
    issued = []
    for turn in range(12):
        await old.reserve()
        issued += [old.issue() for _ in range(900)]
        if turn == 5:
            await old.jump_ahead()
    assert max(issued) <= published.reserved
    new = nonces(tmp_path / "new", metrics)
    await new.raise_to(published.reserved)
    while True:  # the old one is thawed and uses what it still may
        try:
            issued.append(old.issue())
        except NonceExhausted:
            break
    assert new.issue() > max(issued)


async def test_what_is_not_published_is_not_used(tmp_path: Path, metrics: BotMetrics) -> None:
    """With the database away the published ones are used up, and there is no jump."""
    published = Heard()
    ours = nonces(tmp_path, metrics, publish=published)
    await ours.reserve()
    published.away = True
    last = ours.issue()
    with pytest.raises(StoreError):
        await ours.jump_ahead()
    with pytest.raises(NonceExhausted, match="published"):
        ours.issue()
    published.away = False
    await ours.reserve()
    assert last + JUMP < ours.issue() <= published.reserved


async def test_who_shares_a_key_waits_for_its_turn(
    tmp_path: Path, metrics: BotMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request at a time; one that is frozen in its turn is named, not waited for forever."""
    first = open_nonces(tmp_path, "k", metrics, sharing=Sharing.SHARED)
    two = open_nonces(tmp_path, "k", metrics, sharing=Sharing.SHARED)
    order: list[int] = []

    async def request(ours: Nonces) -> None:
        async with ours.request_lock():
            nonce = ours.issue()
            await asyncio.sleep(0)
            order.append(nonce)

    for _ in range(10):
        await asyncio.gather(request(first), request(two))
    assert order == sorted(order)
    monkeypatch.setattr(issuer, "REQUEST_LOCK_SECONDS", 0.05)
    async with first.request_lock():
        with pytest.raises(NonceExhausted, match=r"request lock .* Fix: stop the frozen bot"):
            await request(two)
    await request(two)
    first.close()
    two.close()


def test_keys_have_folders_of_their_own(tmp_path: Path, metrics: BotMetrics) -> None:
    """Two keys do not meet, and a folder's name does not tell the key."""
    first = open_nonces(tmp_path, "secret-key", metrics)
    two = open_nonces(tmp_path, "other-key", metrics, floor=wall_clock() + HOUR)
    assert two.issue() - first.issue() > HOUR // 2
    assert {path.name for path in tmp_path.iterdir()} == {
        key_folder(tmp_path, key).name for key in ("secret-key", "other-key")
    }
    assert not any("secret" in path.name for path in tmp_path.iterdir())
    first.close()
    two.close()
