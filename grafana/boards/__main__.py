"""`python -m grafana.boards [FOLDER]`: write the JSON of every board."""

import sys
from pathlib import Path

from grafana.boards.overview import overview
from grafana.boards.queries import DASHBOARDS
from grafana.boards.sdk import JSONEncoder


def write_boards(folder: Path) -> None:
    """Write each board as `<name>.json`; the same source always gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, board in (("overview", overview()),):
        text = JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False).encode(board)
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    write_boards(Path(sys.argv[1]) if len(sys.argv) > 1 else DASHBOARDS)
