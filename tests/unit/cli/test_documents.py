"""The page of commands and the man page are what `--help` says."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.rules.configuration import ROOT
from trading_ops.cli import documents
from trading_ops.cli.main import PROGRAM, cli


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from commands(below, click.Context(below, info_name=name, parent=context))


EVERY = list(commands(cli, click.Context(cli, info_name=PROGRAM)))


def options(command: click.Command) -> Iterator[str]:
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            yield from param.opts


def test_the_committed_page_is_current() -> None:
    """`python -m trading_ops.cli.documents` writes it."""
    assert (ROOT / documents.PAGE).read_text(encoding="utf-8") == documents.page()


def test_every_command_and_option_is_on_both_pages() -> None:
    page, manual = documents.page(), documents.manual().replace("\\-", "-")
    sections = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    assert sections.keys() == {path for path, _ in EVERY}
    for path, command in EVERY:
        for option in options(command):
            assert option in sections[path], (path, option)
            assert option in manual, (path, option)
        usage = path.removeprefix(PROGRAM).strip()
        assert not usage or f".SS {usage}" in manual


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_man_page_has_no_warning(tmp_path: Path) -> None:
    file = tmp_path / f"{PROGRAM}.1"
    file.write_text(documents.manual(), encoding="utf-8")
    done = subprocess.run(
        ["groff", "-k", "-man", "-ww", "-Tutf8", file], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
