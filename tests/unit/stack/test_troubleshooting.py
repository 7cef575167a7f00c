"""docs/troubleshooting.md quotes only what the code really prints."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.unit.stack.registries import REPOSITORY
from trading_ops.domain.decision import Reason
from trading_ops_lab.cli.process_table import state_words

DOCUMENT = REPOSITORY / "docs" / "troubleshooting.md"
BLOCK = re.compile(r"```(text|console)\n(.*?)```", re.DOTALL)
DIE = re.compile(r'\bdie ((?:"[^"]*"[\s\\]*)+)')
SHELL_VARIABLE = re.compile(r"\$(?:\w+|\{\w+\}|\*|\([^)]*\))")
DOCTORS_NAME = 40
"""Doctor's mark and the padded name of a check come before what it found."""

LEAST_FIXED = 8
"""Characters that a template must fix; one of placeholders alone would match everything."""


def quoted() -> Iterator[str]:
    """Give every line that the document says is printed, without its mark."""
    for kind, block in BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if kind == "console" and line.startswith("$ "):
                continue
            found = line[DOCTORS_NAME:] if line.startswith("wrong ") else line
            yield found.strip().removeprefix("Error: ").removeprefix("Fix: ")


def pattern(parts: list[str | None]) -> str | None:
    """Return the regular expression of a template; None stands for a placeholder."""
    fixed = sum(len(part.strip()) for part in parts if part)
    if fixed < LEAST_FIXED:
        return None
    return "".join(".+?" if part is None else re.escape(part) for part in parts)


def lines_of(node: ast.expr) -> Iterator[list[str | None]]:
    """Give the lines of a literal, with None for what is filled in."""
    values = node.values if isinstance(node, ast.JoinedStr) else [node]
    line: list[str | None] = []
    for value in values:
        if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
            line.append(None)
            continue
        first, *others = value.value.split("\n")
        line.append(first)
        for other in others:
            yield line
            line = [other]
    yield line


def templates() -> Iterator[str]:
    """Give a regular expression for each line of text in the code and the scripts."""
    for path in sorted(REPOSITORY.glob("trading_ops*/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr | ast.Constant):
                yield from filter(None, map(pattern, lines_of(node)))
    for path in sorted((REPOSITORY / "scripts").glob("*.sh")):
        for words in DIE.findall(path.read_text(encoding="utf-8")):
            text = " ".join(re.findall(r'"([^"]*)"', words))
            pieces: list[str | None] = []
            for number, piece in enumerate(SHELL_VARIABLE.split(text)):
                pieces += [piece] if number == 0 else [None, piece]
            yield from filter(None, [pattern(pieces)])


@pytest.fixture(scope="module")
def printed() -> list[re.Pattern[str]]:
    """Every template of the code."""
    process = {"restarts": 0, "restarts_by": "manager", "exit_code": None}
    states = (
        {"state": "backoff", "exit_code": 1, "restarts": 5},
        {"state": "exited", "exit_code": -9, "restarts_by": "reconciler"},
    )
    words = [re.escape(state_words(process | state)) for state in states]
    return [re.compile(one) for one in (*templates(), *words)]


def test_there_are_ten_problems() -> None:
    """Each has a heading with its number, what is printed, why, and the fix."""
    sections = re.split(r"^## ", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert [section.split(".")[0] for section in sections] == [str(n) for n in range(1, 11)]
    for section in sections:
        assert "```text\n" in section, section[:40]
        assert "**Why.**" in section
        assert "**Fix.**" in section


@pytest.mark.parametrize("line", sorted(set(quoted())))
def test_the_code_prints_it(line: str, printed: list[re.Pattern[str]]) -> None:
    """A sentence that was changed in the code is changed in the document too."""
    if line.startswith("decided_"):
        _, reason, note = line.split(maxsplit=2)
        assert Reason(reason)
        line = note.split("; by ")[0]
    assert any(one.fullmatch(line) for one in printed), line


def test_an_invented_sentence_is_found_out(printed: list[re.Pattern[str]]) -> None:
    """The check itself can fail."""
    invented = "the folder /var cannot be read (denied): make it readable for you"
    assert not any(one.fullmatch(invented) for one in printed)
