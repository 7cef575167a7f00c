"""`ack`, `snooze`, `unack` and `resolve`: what they ask for, and what they say."""

import pytest

from tests.builders import NOW
from trading_ops.cli.acknowledge import _print
from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run
from trading_ops.clients.reconciler_views import AcknowledgementView


@pytest.mark.parametrize("command", ["ack", "snooze", "unack", "resolve"])
def test_each_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the options that it takes."""
    assert run([command, "--help"]) == ExitCode.OK
    output = capsys.readouterr().out
    assert "--owner" in output
    assert ("--for" in output) == (command == "snooze")


def test_a_snooze_needs_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    """The option that is missing is named."""
    assert run(["snooze", "3f2a"]) != ExitCode.OK
    assert "--for" in capsys.readouterr().err


def test_what_alertmanager_does_not_know_yet_is_reported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The word stands; the warning goes to the error stream."""
    acknowledgement = AcknowledgementView(
        incident_id="3f2a0000-1", kind="acknowledge", owner="anna", until=NOW, trouble="no answer"
    )
    _print(acknowledgement, "it is anna's")
    captured = capsys.readouterr()
    assert captured.out == "incident 3f2a0000: it is anna's\n"
    assert "no answer" in captured.err
