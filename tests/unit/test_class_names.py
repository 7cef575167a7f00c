"""A class name means one thing in the whole product."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CLIENT = "trading_ops/clients/reconciler_views.py"
"""Server and client declare each view, since either program may be newer."""


def _classes() -> dict[str, set[str]]:
    found = defaultdict(set)
    for path in (ROOT / "trading_ops").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].add(path.relative_to(ROOT).as_posix())
    return found


def _is_view_and_its_client(name: str, files: set[str]) -> bool:
    return (
        name.endswith("View")
        and len(files) == 2
        and CLIENT in files
        and any(file.startswith("trading_ops/api/") for file in files)
    )


def test_no_two_classes_have_one_name() -> None:
    """A second class needs a name that says how it differs from the first one."""
    twice = {
        name: sorted(files)
        for name, files in _classes().items()
        if len(files) > 1 and not _is_view_and_its_client(name, files)
    }
    assert twice == {}
