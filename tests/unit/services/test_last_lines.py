"""What a unit logged last, from journalctl: of one run, redacted and bounded."""

import asyncio
from pathlib import Path

import pytest

from trading_ops.errors import SetupError
from trading_ops.services.last_lines import LINES, LONGEST_LINE, bounded, of_journal
from trading_ops.services.manager import ManagerUnavailable

RUN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journalctl that writes its arguments to a file."""
    path = tmp_path / "journalctl"
    path.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\nprintf "one\\ntwo\\n"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return path


def test_only_the_lines_of_one_run_are_read(program: Path) -> None:
    assert asyncio.run(of_journal(RUN)) == ["one", "two"]
    arguments = (program.parent / "arguments").read_text().split()
    assert f"_SYSTEMD_INVOCATION_ID={RUN}" in arguments
    # What systemd says about the run counts only if systemd itself said it.
    assert arguments[arguments.index(f"INVOCATION_ID={RUN}") + 1] == "_PID=1"
    assert f"--lines={LINES}" in arguments


def test_a_journal_that_cannot_be_read_is_not_an_empty_one(program: Path) -> None:
    program.write_text("#!/bin/sh\necho no permission >&2\nexit 1\n")
    with pytest.raises(ManagerUnavailable, match="no permission"):
        asyncio.run(of_journal(RUN))
    program.unlink()
    with pytest.raises(SetupError, match="journalctl"):
        asyncio.run(of_journal(RUN))


def test_lines_are_redacted_and_bounded() -> None:
    lines = [f"line {number}" for number in range(100)]
    cut = "x" * (LONGEST_LINE - 10)
    lines += ["", "login with password=hunter2-hunter2", f"{cut} token=abcdefghijklmnopqrst"]
    found = bounded(lines)
    assert len(found) == LINES
    assert found[0] == "line 82"
    assert "hunter2" not in found[-2]
    assert "abc" not in found[-1]
    assert len(found[-1]) <= LONGEST_LINE
