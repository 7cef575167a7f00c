"""The boards as files: their JSON, and the exceptions for Grafana's own linter."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grafana.boards.content import BOARDS
from grafana.boards.lint import exceptions
from grafana.boards.sdk import JSONEncoder

HIDDEN = "inControlsMenu"
UNPAGED = {"perPage": 0}
"""The SDK refuses to write it."""


def files() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file; the same source always gives the same bytes."""
    for board in BOARDS:
        built = json.loads(JSONEncoder().encode(board.build()))
        text = json.dumps(_visible(built), indent=2, sort_keys=True, ensure_ascii=False)
        yield f"{board.uid.removeprefix('trading-ops-')}.json", f"{text}\n"
    yield ".lint", exceptions(BOARDS)


def _visible(node: Any) -> Any:
    """Override defaults of the SDK: collapsed links and annotations, pages of a timeline."""
    if isinstance(node, dict):
        kept = {key: _visible(value) for key, value in node.items() if value != HIDDEN}
        return {**kept, **UNPAGED} if UNPAGED.keys() <= kept.keys() else kept
    return [_visible(value) for value in node] if isinstance(node, list) else node


def write_boards(folder: Path) -> None:
    """Write every file into a folder, and remove dashboards that no longer exist."""
    folder.mkdir(parents=True, exist_ok=True)
    made = dict(files())
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in folder.glob("*.json"):
        if path.name not in made:
            path.unlink()


def differences(folder: Path) -> list[str]:
    """Return the names of the files that differ from the source, or that it does not have."""
    made = dict(files())
    found = {
        path.name: path.read_text(encoding="utf-8")
        for path in (*folder.glob("*.json"), folder / ".lint")
        if path.exists()
    }
    return sorted(name for name in made.keys() | found if made.get(name) != found.get(name))
