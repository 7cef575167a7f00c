"""What `trading-ops init` writes is the committed copy, and a folder that the product accepts."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from trading_ops.cli.exit_codes import ExitCode
from trading_ops.cli.main import run
from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.config.targets import TargetEntry, load_targets, parse_targets
from trading_ops.project.shipped import shipped
from trading_ops_lab.cli.up import fill_empty

ROOT = Path(__file__).parents[3]
LINKED = ("prometheus/rules", "alertmanager", "runbooks", "grafana/dashboards", "deploy")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder as `init` writes it, which the commands then work in."""
    folder = tmp_path / "project"
    assert run(["init", str(folder)]) == ExitCode.OK
    monkeypatch.setenv("TRADING_OPS_ROOT", str(folder))
    return folder


def test_every_committed_file_is_shipped_as_it_is() -> None:
    found = shipped()
    committed = {
        path.relative_to(ROOT): path.read_bytes()
        for folder in LINKED
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    assert len(committed) > 100
    assert {path: found.get(path) for path in committed} == committed


def test_the_folder_is_valid(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without any tool on the PATH: what needs one is another check."""
    settings = load_settings(project, {})
    assert settings.observe_only
    assert load_targets(settings.targets_file).targets
    capsys.readouterr()
    run(["config", "check", "--output", "json"])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    for name in ("targets", "runbooks", "jobs", "messages", "readiness", "capacity"):
        assert checks[name]["ok"], checks[name]


def test_the_examples_in_it_are_valid(project: Path) -> None:
    """Every target that is commented out loads once the `#` is removed."""
    text = (project / "targets.yml").read_text()
    lines = (
        line.replace("  # ", "  ", 1) if line.startswith(("  # - ", "  #   ")) else line
        for line in text.splitlines()
    )
    loaded = parse_targets("\n".join(lines), where="targets.yml")
    assert {"alpha", "freq", "beta"} <= {loaded_file.name for loaded_file in loaded}


def test_every_setting_is_in_it_with_its_default(project: Path, tmp_path: Path) -> None:
    text = (project / "settings.yml").read_text()
    values = {}
    for line in text.splitlines():
        name, colon, value = line.removeprefix("# ").partition(": ")
        if colon and name in Settings.__struct_fields__:
            values[name] = yaml.safe_load(value)
    assert {*values, "root"} == set(Settings.__struct_fields__)
    explained = {"observe_only", "listener_users", "database", "dead_man_switch", "grafana_url"}
    explained |= {"backup_repository"}
    rest = {name: value for name, value in values.items() if name not in explained}
    (tmp_path / "settings.yml").write_text(yaml.safe_dump(rest))
    written = load_settings(tmp_path, {})
    (tmp_path / "settings.yml").unlink()
    assert written == load_settings(tmp_path, {})


def test_a_value_says_where_it_is_from(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a password in the environment is not shown."""
    monkeypatch.setenv("TRADING_OPS_DATABASE", "postgresql://me:hunter2secret@db/x")
    capsys.readouterr()
    assert run(["config", "show", "--output", "json"]) == ExitCode.OK
    output = capsys.readouterr().out
    assert "hunter2secret" not in output
    found = json.loads(output)
    assert found["observe_only"] == {"value": True, "from": "settings.yml"}
    assert found["database"]["from"] == "environment"
    assert found["storm_targets"] == {"value": 3, "from": "default"}


@pytest.mark.parametrize("file", ["settings", "targets"])
def test_the_schema_has_every_key(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema", file]) == ExitCode.OK
    keys = capsys.readouterr().out
    fields = Settings.__struct_fields__[1:] if file == "settings" else TargetEntry.__struct_fields__
    assert [name for name in fields if f'"{name}"' not in keys] == []


def test_an_update_keeps_local_targets(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = project / "targets.yml"
    targets.write_text(targets.read_text() + "# mine\n")
    (project / "runbooks" / "TradingBotDown.md").unlink()
    assert run(["init", str(project), "--update"]) == ExitCode.OK
    assert targets.read_text().endswith("# mine\n")
    assert not (project / "runbooks" / "TradingBotDown.md").exists()
    assert "targets.yml: kept" in capsys.readouterr().out


def test_an_empty_folder_becomes_the_local_stack(tmp_path: Path) -> None:
    """A folder that holds something else is left alone, and so is one that is filled."""
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "notes.txt").touch()
    assert fill_empty(load_settings(wrong, {})) == 0
    lab = tmp_path / "lab"
    (lab / "var").mkdir(parents=True)
    assert fill_empty(load_settings(lab, {})) > 100
    assert (lab / "targets.yml").read_bytes() == (ROOT / "targets.yml").read_bytes()
    assert not (lab / "settings.yml").exists()
    assert fill_empty(load_settings(lab, {})) == 0
    assert (files("trading_ops_lab.project") / "targets.yml").is_file()
