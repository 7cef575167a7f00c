"""The doctor's checks of the files that an operator writes."""

from pathlib import Path

import pytest

from trading_ops.config.settings import Settings
from trading_ops.doctor.check import Check
from trading_ops.doctor.configuration import check_files

TARGETS = """\
version: 1
targets:
  - {name: reconciler, kind: reconciler, address: "127.0.0.1:1"}
  - {name: prometheus, kind: prometheus, address: "127.0.0.1:2"}
  - {name: alertmanager, kind: alertmanager, address: "127.0.0.1:3"}
"""
GOOD = "  good: {every: Sun 02:00, for: 1h, reason: x}\n"


def found(folder: Path, name: str) -> Check:
    settings = Settings(root=folder, var=folder / "var", targets_file=folder / "targets.yml")
    return next(check for check in check_files(settings, None) if check.name == name)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, ""),
        (f"windows:\n{GOOD}", ""),
        (
            f"windows:\n{GOOD}  gone: {{every: Sun 02:00, for: 1h, reason: x, target: left}}\n",
            "gone",
        ),
        ("windows: [", "maintenance.yml"),
    ],
)
def test_an_invalid_window_is_named(tmp_path: Path, text: str | None, problem: str) -> None:
    """The reconciler leaves it out, so it is easily missed."""
    (tmp_path / "targets.yml").write_text(TARGETS)
    if text is not None:
        (tmp_path / "maintenance.yml").write_text(text)
    check = found(tmp_path, "maintenance")
    assert check.ok is not bool(problem)
    assert problem in check.detail


def test_an_invalid_entry_of_jobs_yml_is_named(tmp_path: Path) -> None:
    (tmp_path / "targets.yml").write_text(TARGETS)
    assert found(tmp_path, "jobs").ok
    (tmp_path / "jobs.yml").write_text("jobs: {gone: {}}")
    check = found(tmp_path, "jobs")
    assert not check.ok
    assert "jobs.gone" in check.detail
