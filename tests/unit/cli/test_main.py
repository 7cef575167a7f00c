import subprocess
import sys
from pathlib import Path

import click
import pytest

from trading_ops import __version__
from trading_ops.cli.commands import COMMANDS, CommandEntry, added
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import cli, run


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the project."""
    monkeypatch.setenv("TRADING_OPS_ROOT", str(tmp_path))
    return tmp_path


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The help has a line for each command, and the exit codes."""
    assert run(["--help"]) == ExitCode.OK
    output = capsys.readouterr().out
    for name in cli.list_commands(click.Context(cli)):
        assert f"  {name} " in output
        assert {**COMMANDS, **added()}[name].help[:40] in output
    assert "3 not running" in output


def test_help_imports_nothing_heavy() -> None:
    """The help of the whole does without the libraries that single commands need."""
    code = (
        "import sys; from trading_ops.cli.main import run; run(['--help']);"
        "heavy = {'aiohttp', 'sqlalchemy', 'ccxt', 'rich', 'msgspec', 'psutil'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted({**COMMANDS, **added()}))
def test_every_installed_command_explains_itself(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command that is there can be imported and has a help text."""
    context = click.Context(cli)
    if name not in cli.list_commands(context):
        assert cli.get_command(context, name) is None
        return
    assert run([name, "--help"]) == ExitCode.OK
    assert f"Usage: trading-ops {name}" in capsys.readouterr().out


def test_the_version_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """It is the package's own."""
    assert run(["--version"]) == ExitCode.OK
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["status", "--nonsense"],
        ["drill"],
        ["up", "--output", "json"],
        ["ack", ""],
        ["unack", " "],
        ["snooze", "", "--for", "1h"],
        ["resolve", "3f2a"],
        ["approve", ""],
        ["deny", ""],
        ["incidents", "show", ""],
    ],
)
def test_a_wrong_line_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The code is 2 and the message says how it is used."""
    assert run(arguments) == ExitCode.USAGE
    assert "Usage: trading-ops" in capsys.readouterr().err


def test_a_missing_registry_is_one_sentence(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outside a project, in a folder of something else, the error names the file and the fix."""
    (elsewhere / "notes.txt").touch()
    assert run(["up"]) == ExitCode.SETUP
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert "targets.yml" in error
    assert "Fix:" in error
    assert error.count("\n") == 1


def test_nothing_running_has_its_own_code(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scripts can tell “nothing runs” from a failure."""
    registry = Path(__file__).parents[3] / "targets.yml"
    (elsewhere / "targets.yml").write_text(registry.read_text())
    assert run(["status"]) == ExitCode.NOT_RUNNING
    error = capsys.readouterr().err
    assert "start one with `trading-ops up`" in error
    assert f"({elsewhere / 'var'})" in error
    (elsewhere / "targets.yml").unlink()
    assert run(["status"]) == ExitCode.NOT_RUNNING
    assert f"{elsewhere / 'targets.yml'} is missing" in capsys.readouterr().err


def test_a_mistake_of_ours_is_logged_and_not_shown(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person reads one sentence with the place of the traceback."""
    mistaken = CommandEntry("trading_ops.cli.exit_codes", "ExitCode", "No command at all.")
    monkeypatch.setitem(COMMANDS, "broken", mistaken)
    assert run(["broken"]) == ExitCode.UNEXPECTED
    error = capsys.readouterr().err
    log = elsewhere / "var" / "log" / "cli.log"
    assert str(log) in error
    assert "Traceback" not in error
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The script is for this shell and asks this program."""
    assert run(["completion", shell]) == ExitCode.OK
    assert "_TRADING_OPS_COMPLETE" in capsys.readouterr().out
