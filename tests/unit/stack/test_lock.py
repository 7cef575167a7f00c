import os
from pathlib import Path

import pytest

from trading_ops.cli.local_stack import holder, lock_file
from trading_ops.errors import SetupError, StackError
from trading_ops_lab.supervisor.lock import only_stack


def test_a_second_stack_is_refused_and_names_the_owner(tmp_path: Path) -> None:
    """The error names the process that holds the folder, and how to end it."""
    with (
        only_stack(tmp_path),
        pytest.raises(StackError, match=rf"process {os.getpid()}\).*trading-ops down"),
        only_stack(tmp_path),
    ):
        pass


def test_the_holder_is_known_while_it_holds(tmp_path: Path) -> None:
    """No one holds a new folder, then this process does, then no one again."""
    assert holder(tmp_path) is None
    with only_stack(tmp_path):
        assert holder(tmp_path) == os.getpid()
    assert holder(tmp_path) is None


def test_the_file_of_a_dead_holder_is_no_lock(tmp_path: Path) -> None:
    """What was left behind by a killed stack does not hinder the next one."""
    lock_file(tmp_path).parent.mkdir(parents=True)
    lock_file(tmp_path).write_text("99999999\n")
    assert holder(tmp_path) is None
    with only_stack(tmp_path):
        assert holder(tmp_path) == os.getpid()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """The error names the folder and the setting."""
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(SetupError, match=r"cannot be written .*TRADING_OPS_VAR"),
        only_stack(tmp_path / "file" / "var"),
    ):
        pass
