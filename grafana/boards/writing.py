"""The boards as files: their JSON, and the exceptions for Grafana's own linter."""

from collections.abc import Iterator
from pathlib import Path

from grafana.boards.content import BOARDS
from grafana.boards.lint import exceptions
from grafana.boards.sdk import JSONEncoder


def files() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file; the same source always gives the same bytes."""
    for board in BOARDS:
        text = JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False).encode(board.build())
        yield f"{board.uid.removeprefix('trading-ops-')}.json", f"{text}\n"
    yield ".lint", exceptions(BOARDS)


def write_boards(folder: Path) -> None:
    """Write every file into a folder, and remove boards that are no longer made."""
    folder.mkdir(parents=True, exist_ok=True)
    made = dict(files())
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in folder.glob("*.json"):
        if path.name not in made:
            path.unlink()


def differences(folder: Path) -> list[str]:
    """Return the names of the files that are not as the source makes them, or not of it."""
    made = dict(files())
    found = {
        path.name: path.read_text(encoding="utf-8")
        for path in (*folder.glob("*.json"), folder / ".lint")
        if path.exists()
    }
    return sorted(name for name in made.keys() | found if made.get(name) != found.get(name))
