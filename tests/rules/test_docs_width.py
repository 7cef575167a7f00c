"""Hand-written prose is wrapped at 100 characters, so that a diff shows what changed."""

from pathlib import Path

import pytest

from tests.rules.configuration import ROOT

GENERATED = {"commands.md", "gameday.md", "metrics.md"}
WRITTEN = sorted(
    page
    for folder in ("docs", "docs/decisions", "runbooks")
    for page in (ROOT / folder).glob("*.md")
    if page.name not in GENERATED
)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.stem)
def test_prose_is_wrapped(page: Path) -> None:
    """Front matter, tables, quotes and code keep their lines."""
    lines = page.read_text().splitlines()
    begin = lines.index("---", 1) if lines[0] == "---" else 0
    fenced, long = False, []
    for number, line in enumerate(lines[begin:], begin + 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        is_prose = not fenced and not line.startswith("    ") and line.lstrip()[:1] not in "|>{"
        if len(line) > 100 and is_prose:
            long.append(number)
    assert long == []
