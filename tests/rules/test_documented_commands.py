"""Every `trading-ops` command in runbooks and docs is valid."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.each import each
from tests.rules.configuration import RUNBOOKS
from trading_ops.cli.main import PROGRAM, cli

DOCS = RUNBOOKS.parent / "docs"
PAGES = [*sorted(RUNBOOKS.glob("*.md")), *sorted(DOCS.glob("*.md"))]

FENCE = re.compile(r"^ *```\w*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^ {4,}(\S.*)", re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")
CALL = re.compile(rf"(?:^|(?<=[\s(=])|(?<=bin/)){PROGRAM} +(?=\S)")
LEFT_TO_THE_READER = re.compile(r"<\w[^>]*>|\[|…|\.\.\.")
OPERATORS = "|&;<>()"

NOT_A_COMMAND = {"incident": "how the comment of a silence of ours begins"}


def calls(text: str) -> Iterator[str]:
    """Yield each command of some code, without the program's name."""
    for line in text.splitlines():
        if not line.lstrip().startswith("#"):
            # Two columns of examples are two commands.
            for part in re.split(rf" {{2,}}(?={PROGRAM} )", line.strip()):
                yield from CALL.split(part)[1:]


def documented_commands(path: Path) -> Iterator[str]:
    """Yield each command that a page gives; in prose a name alone is only a mention."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    prose = FENCE.sub("", text)
    yield from calls("\n".join([*FENCE.findall(text), *INDENTED.findall(prose)]))
    for code in INLINE.findall(prose):
        for command in calls(" ".join(code.split())):
            if command not in NOT_A_COMMAND and (path.parent == RUNBOOKS or not is_name(command)):
                yield command


def words_of(command: str) -> list[str] | None:
    """Return the words up to the command's end; None when some are left to the reader."""
    command = re.sub(r'"(…|\.\.\.)"|(?<=--reason )…', "given", command)
    if LEFT_TO_THE_READER.search(command):
        return None
    parts = shlex.shlex(command, posix=True, punctuation_chars=OPERATORS)
    parts.whitespace_split = True
    words: list[str] = []
    for part in parts:
        if part and set(part) <= set(OPERATORS):
            break
        words.append(part)
    return words


def found(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the innermost command that the words name, and those that are for it."""
    command: click.Command = cli
    rest = words
    while isinstance(command, click.Group) and rest:
        inner = command.get_command(click.Context(command), rest[0])
        if inner is None:
            break
        command, rest = inner, rest[1:]
    return command, rest


def is_name(command: str) -> bool:
    """Return whether there is nothing but a command's name."""
    words = words_of(command)
    return words is not None and found(words)[1] == []


def refusal(words: list[str]) -> str | None:
    """Return why click's own parser does not take the words; nothing is carried out."""
    command, rest = found(words)
    if isinstance(command, click.Group):
        if not rest:
            return None
        if not rest[0].startswith("-"):
            return f"no command {rest[0]}"
    try:
        command.make_context(PROGRAM, rest)
    except click.exceptions.Exit:  # --help and --version
        return None
    except click.MissingParameter as error:
        return error.format_message()
    except click.BadParameter as error:
        of_the_reader = error.param is not None and isinstance(error.param.type, click.Path)
        return None if of_the_reader else error.format_message()
    except click.UsageError as error:
        return error.format_message()
    return None


@each("path", PAGES, name=lambda path: path.name)
def test_documented_commands_are_valid(path: Path) -> None:
    """A missing option costs minutes, at three in the morning."""
    refused = {}
    for command in documented_commands(path):
        words = words_of(command)
        if words is not None and (why := refusal(words)) is not None:
            refused[command] = why
    assert refused == {}


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("restart alpha", "Missing option '--reason'."),
        ('restart alpha --drian --reason "x"', "No such option '--drian'."),
        ('automation pause --for ever --reason "x"', "Invalid value for '--for'"),
        ("automation puase", "no command puase"),
        ("incident", "no command incident"),
        ("ack 3f2a 4b1c", "Got unexpected extra argument (4b1c)"),
    ],
)
def test_invalid_commands_are_refused(command: str, why: str) -> None:
    """The parser itself says what is wrong."""
    words = words_of(command)
    assert words is not None
    assert why in str(refusal(words))


def test_commands_are_found_wherever_they_are_documented(tmp_path: Path) -> None:
    """In a fence, in its two columns, over two lines, indented, and in prose."""
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\n# trading-ops comments\ntrading-ops ack 1   trading-ops ack 2 | cat\n"
        "trading-ops ack \\\n  3\n```\n\n    .venv/bin/trading-ops up --detach\n\n"
        "See `trading-ops\nack 4`, `trading-ops halt` and `trading-ops halt --all`, "
        "in /a/trading-ops too.\n",
        encoding="utf-8",
    )
    assert [words_of(command) for command in documented_commands(page)] == [
        ["ack", "1"],
        ["ack", "2"],
        ["ack", "3"],
        ["up", "--detach"],
        ["ack", "4"],
        ["halt", "--all"],
    ]
