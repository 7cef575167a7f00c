"""Gathers the documentation, and each file of the repository that it links to, for `make docs`.

`python scripts/docs_pages.py FOLDER` recreates the folder, with links to the files.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)#:\s]+)")
FIRST = ("README.md", "docs/**/*.md", "runbooks/*.md")


def linked(page: Path) -> Iterator[Path]:
    """Yield the files that a page links to; MkDocs reports what does not exist."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / link).resolve()
        if path.is_file() and path.is_relative_to(ROOT):
            yield path


def main() -> None:
    """Fill the folder."""
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    waiting = [path for pattern in FIRST for path in ROOT.glob(pattern)]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += linked(path) if path.suffix == ".md" else ()
    for path in found:
        link = folder / path.relative_to(ROOT)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)


if __name__ == "__main__":
    main()
