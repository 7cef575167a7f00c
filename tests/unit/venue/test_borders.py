"""The small pure parts at the borders: signatures, sessions, faults, the switch, the journal."""

import json
from pathlib import Path
from typing import Any

import pytest

from trading_ops.errors import StoreError
from trading_ops_lab.paper.venue.dead_man_switches import DeadManSwitches
from trading_ops_lab.paper.venue.errors import VenueRefusal
from trading_ops_lab.paper.venue.faults import FaultBoard, FaultRequest
from trading_ops_lab.paper.venue.journal import Journal
from trading_ops_lab.paper.venue.sessions import Sessions, SessionState
from trading_ops_lab.paper.venue.signing import ApiKey, Keyring, decode_secret, sign
from trading_ops_lab.paper.venue.store import Store

# The example of Kraken's documentation, so that the formula is theirs and not only ours.
DOCUMENTED_SECRET = (
    "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
)
DOCUMENTED_BODY = (
    b"nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
)
DOCUMENTED_SIGNATURE = (
    "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
)
PATH = "/0/private/AddOrder"
SECRET = b"secret"


def test_the_signature_is_krakens() -> None:
    """The documented request has the documented signature."""
    secret = decode_secret(DOCUMENTED_SECRET)
    assert sign(secret, PATH, "1616492376594", DOCUMENTED_BODY) == DOCUMENTED_SIGNATURE


def test_a_secret_must_be_base64() -> None:
    """What is not base64 is not a secret."""
    with pytest.raises(ValueError, match="base64"):
        decode_secret("***")


@pytest.mark.parametrize(
    ("nonce", "admitted"),
    [
        ("101", True),
        (str(2**64 - 1), True),
        ("100", False),
        ("99", False),
        (str(2**64), False),
        ("1" * 5000, False),
        ("", False),
        ("-5", False),
        ("1e9", False),
        ("٣٣٣٣", False),
    ],
)
def test_a_nonce_must_grow(nonce: str, admitted: bool) -> None:
    """Only a larger number of 64 bits is admitted, and only then counts as used."""
    ring = Keyring([ApiKey("k", SECRET, "a")], {"k": 100})
    headers = {"API-Key": "k", "API-Sign": sign(SECRET, PATH, nonce, b"body")}
    if admitted:
        assert ring.admit(headers, PATH, nonce, b"body").account == "a"
        assert ring.nonces == {"k": int(nonce)}
    else:
        with pytest.raises(VenueRefusal, match="EAPI:Invalid nonce"):
            ring.admit(headers, PATH, nonce, b"body")
        assert ring.nonces == {"k": 100}


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, "EAPI:Invalid key"),
        ({"API-Key": "other"}, "EAPI:Invalid key"),
        ({"API-Key": "k"}, "EAPI:Invalid signature"),
        ({"API-Key": "k", "API-Sign": "é"}, "EAPI:Invalid signature"),
        ({"API-Key": "k", "API-Sign": "\udcff"}, "EAPI:Invalid signature"),
        ({"API-Key": "k", "API-Sign": sign(b"x", PATH, "1", b"b")}, "EAPI:Invalid signature"),
        ({"API-Key": "k", "API-Sign": sign(SECRET, "/0", "1", b"b")}, "EAPI:Invalid signature"),
        ({"API-Key": "k", "API-Sign": sign(SECRET, PATH, "1", b"c")}, "EAPI:Invalid signature"),
    ],
)
def test_a_signature_covers_all_of_a_request(headers: dict[str, str], error: str) -> None:
    """A key, the secret, the path and the body must be those that were signed."""
    with pytest.raises(VenueRefusal, match=error):
        Keyring([ApiKey("k", SECRET, "a")], {}).admit(headers, PATH, "1", b"b")


def test_a_session_is_known_by_its_cookie() -> None:
    """Ours are read again after a restart; forged ones and none are no session."""
    state = SessionState()
    number, cookie = Sessions(state).open()
    again = Sessions(state)
    assert again.number(cookie) == number == 1
    assert again.open()[0] == 2
    for forged in (None, "", "1", cookie.replace("1-", "2-"), cookie + "0", "x-y"):
        assert again.number(forged) is None
    assert Sessions(SessionState()).number(cookie) is None


def test_a_board_knows_what_is_broken() -> None:
    """The newest fault of a kind counts; sessions and connections are those of its time."""
    board = FaultBoard()
    assert board.find("slow") is None
    context: dict[str, Any] = {"last_session": 5, "connections": frozenset({8})}
    for number, kind in enumerate(("slow", "disconnect", "stale_feed", "slow")):
        seconds = 10.0 if number == 3 else None
        request = FaultRequest(kind=kind, seconds=seconds, delay_seconds=number + 1)  # type: ignore[arg-type]
        board.inject(request, fault_id=str(number), now=100.0, **context)
    slow = board.find("slow")
    assert slow is not None
    assert slow.delay_seconds == 4
    assert (board.kills(5), board.kills(6)) == (True, False)
    assert (board.silences(8), board.silences(9)) == (True, False)
    assert board.expire(109.9) == []
    assert [fault.id for fault in board.expire(110.0)] == ["3"]
    assert board.clear("1") is not None
    assert board.clear("1") is None
    assert not board.kills(5)


def test_a_switch_counts_from_its_last_arming() -> None:
    """It is due once, when its time is up, and never after it was disarmed."""
    switches = DeadManSwitches({"old": 50.0})
    assert switches.due(100.0) == ["old"]
    switches.arm("a", 10, 100.0)
    assert switches.arm("a", 10, 105.0) == 115.0
    assert switches.due(114.9) == []
    assert switches.due(115.0) == ["a"]
    assert switches.due(999.0) == []
    switches.arm("a", 10, 100.0)
    assert switches.arm("a", 0, 101.0) is None
    assert switches.due(999.0) == []


def journal_of(folder: Path, *events: str) -> list[str]:
    """Open a journal, record events, and return the lines of its file."""
    store = Store(folder / "venue.db")
    journal = Journal(store, folder / "journal.jsonl")
    for event in events:
        journal.record(event, note="x")
    journal.commit()
    journal.close()
    store.close()
    return (folder / "journal.jsonl").read_text().splitlines()


def test_a_journals_file_has_every_entry_once(tmp_path: Path) -> None:
    """The file continues over restarts, without gaps and doubles."""
    assert len(journal_of(tmp_path, "a", "b")) == 2
    lines = journal_of(tmp_path, "c")
    assert [line.split(",")[0] for line in lines] == ['{"seq":1', '{"seq":2', '{"seq":3']


@pytest.mark.parametrize("keep", [0, 1, 60, -1])
def test_a_torn_file_is_repaired(tmp_path: Path, keep: int) -> None:
    """A crash while a line was written costs nothing: the store knows it."""
    journal_of(tmp_path, "a", "b")
    path = tmp_path / "journal.jsonl"
    original = path.read_bytes()
    path.write_bytes(original[:keep])
    assert journal_of(tmp_path) == original.decode().splitlines()


def test_what_was_not_committed_is_nowhere(tmp_path: Path) -> None:
    """An entry without its commit is neither in the store nor in the file."""
    journal_of(tmp_path, "a")
    store = Store(tmp_path / "venue.db")
    journal = Journal(store, tmp_path / "journal.jsonl")
    journal.record("lost")
    journal.close()
    store.close()
    assert len(journal_of(tmp_path)) == 1


def test_a_file_that_is_ahead_of_a_new_store_gets_the_new_entries(tmp_path: Path) -> None:
    """Deleting the state does not silence the journal."""
    journal_of(tmp_path, *"abc")
    (tmp_path / "venue.db").unlink()
    assert len(journal_of(tmp_path, "d")) == 4


def test_a_journal_is_bounded(tmp_path: Path) -> None:
    """Old rows are forgotten, a large file becomes the old one, and no entry is listed twice."""
    store = Store(tmp_path / "venue.db")
    journal = Journal(store, tmp_path / "journal.jsonl", entries=1500, size=50_000)
    for number in range(4000):
        journal.record("tick", number=number)
        journal.commit()
    kept = journal.after(0)
    assert 1500 <= len(kept) <= 1500 + 1000
    assert (kept[-1]["seq"], journal.last) == (4000, 4000)
    assert [entry["seq"] for entry in kept] == list(range(kept[0]["seq"], 4001))
    journal.close()
    files = [tmp_path / "journal.jsonl.1", tmp_path / "journal.jsonl"]
    assert all(path.stat().st_size < 51_000 for path in files)
    numbers = [json.loads(line)["seq"] for path in files for line in path.read_text().splitlines()]
    assert numbers == list(range(numbers[0], 4001))
    files[1].write_bytes(b"")  # as if it had just become the old one
    last = json.loads(files[0].read_text().splitlines()[-1])["seq"]
    again = Journal(store, files[1], entries=1500, size=50_000)
    assert json.loads(files[1].read_text().splitlines()[0])["seq"] == last + 1
    again.close()
    store.close()


def test_entries_report_who_caused_them(tmp_path: Path) -> None:
    """Inside a block each entry has the key and the nonce of the request, outside none."""
    store = Store(tmp_path / "venue.db")
    journal = Journal(store, tmp_path / "journal.jsonl")
    with journal.by(key="alpha", nonce="7"):
        journal.record("inside")
    journal.record("outside")
    inside, outside = journal.after(0)
    assert (inside["by_key"], inside["by_nonce"]) == ("alpha", "7")
    assert "by_key" not in outside
    journal.close()
    store.close()


def test_a_state_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(StoreError, match=r"nowhere/venue\.db"):
        Store(tmp_path / "nowhere" / "venue.db")
