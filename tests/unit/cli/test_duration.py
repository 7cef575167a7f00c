"""Durations as users type them: an invalid one is reported with its option, at once."""

import pytest

from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("snooze 3f2a --for 48h", "48h is too long: at most 24h"),
        ("automation pause --reason x --for 25h", "25h is too long: at most 24h"),
        ("maintenance begin alpha --reason x --for 9d", "9d is too long: at most 7d"),
        ("maintenance begin alpha --reason x --for 99999999999999d", "at most 7d"),
        ("snooze 3f2a --for soon", "duration 'soon'"),
        ("snooze 3f2a --for 0s", "0s must be greater than zero"),
        ("incidents stats --since soon", "duration 'soon'"),
        ("token add ada --role viewer --expires later", "duration 'later'"),
    ],
)
def test_a_bad_one_is_a_usage_error(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option is named, and what it takes."""
    assert run(line.split()) == ExitCode.USAGE
    errors = capsys.readouterr().err
    option = next(argument for argument in reversed(line.split()) if argument.startswith("--"))
    assert f"'{option}'" in errors
    assert message in errors
