"""No function of the store changes a row without adding an event, or is named here with why."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import trading_ops.store

FOLDER = Path(trading_ops.store.__file__).parent
CHANGES = {"insert", "upsert", "update", "delete"}
WITHOUT_EVENT = {
    (
        "notifications",
        "add",
    ): "the event comes when it is taken apart; a storm must be stored first",
    ("notifications", "finish"): "its caller adds `notified` or `quarantined`, with the hash",
    ("leases", "raise_fence"): "a counter; each attempt's event says its value",
    **dict.fromkeys(
        [("leases", name) for name in ("clear", "renew", "_make_rows", "release", "leave")],
        "leases say who works now; a takeover is an event, a renewal each 5 s is not",
    ),
    ("replicas", "*"): "who is alive now",
    ("audit_chain", "write"): "writes the events",
    ("audit_chain", "add_checkpoint"): "of one row, its callers add the event",
    ("bot_events", "*"): "copies of the journals that bots keep, which are no part of the audit",
    ("messages", "*"): "deliveries are no part of the audit; giving up, and what persons order, is",
    ("holds", "_insert"): "of one row, its callers add the event",
    ("jobs", "register"): "from when on a shipped job is scheduled; each run is an event",
    ("jobs", "_handle"): "of one row, its callers add the event",
}


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            yield node


def called(function: ast.FunctionDef) -> set[str]:
    """Names that a function calls; `events.add` as such."""
    names = set()
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            names.add(node.func.id)
        elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            names.add(f"{node.func.value.id}.{node.func.attr}")
    return names


def used(node: ast.AST) -> set[str]:
    """Names that occur in it."""
    return {name_node.id for name_node in ast.walk(node) if isinstance(name_node, ast.Name)}


def changing(path: Path) -> set[str]:
    """What changes rows: SQLAlchemy's functions, and the file's statements built from them."""
    names = set(CHANGES)
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and used(node.value) & names:
            names |= used(node.targets[0])
    return names


def without_event(path: Path) -> set[str]:
    """Functions that change rows and add no event, alone or by what they call in their file."""
    calls = {function.name: called(function) for function in functions(path)}
    changes = changing(path)
    change = {function.name for function in functions(path) if used(function) & changes}

    def adds(name: str, seen: frozenset[str] = frozenset()) -> bool:
        mine = calls.get(name, set()) - seen
        return "events.add" in mine or any(
            adds(callee, seen | {name}) for callee in mine & set(calls)
        )

    return {name for name in change if not adds(name)}


MODULES = sorted(path for path in FOLDER.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_change_adds_an_event(path: Path) -> None:
    """A change without an event could not be proven, and a cache would miss it."""
    silent = {(path.stem, name) for name in without_event(path)}
    excused = {
        pair for pair in silent if pair in WITHOUT_EVENT or (path.stem, "*") in WITHOUT_EVENT
    }
    assert silent - excused == set()


def test_the_check_sees_what_it_looks_for() -> None:
    """It finds the functions that change rows silently on purpose: so it would find another."""
    found = {(path.stem, name) for path in MODULES for name in without_event(path)}
    named = {pair for pair in WITHOUT_EVENT if pair[1] != "*"}
    assert named - found == set()
