"""An error in a file that is read late is reported before anything is started."""

import re
import shutil
from pathlib import Path

import pytest

from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.errors import ConfigError
from trading_ops_lab.doctor.local_checks import check_plans
from trading_ops_lab.supervisor.run import run

REPOSITORY = Path(__file__).parents[3]
SERVICE = re.compile(r"\n    service: \{manager: supervisor, unit: (\S+?)[,}].*")
BOOK = "TradingBotDown.md"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A project whose only process is the reconciler."""
    text = (REPOSITORY / "targets.yml").read_text()
    only = SERVICE.sub(lambda match: match[0] if match[1] == "reconciler" else "", text)
    (tmp_path / "targets.yml").write_text(only)
    for folder in ("runbooks", "prometheus"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    return load_settings(tmp_path, environ={})


def spoil(settings: Settings) -> None:
    """Let a runbook name an action that does not exist."""
    book = settings.runbooks / BOOK
    book.write_text(book.read_text().replace("action: restart_bot", "action: restart_bott"))


def start(settings: Settings) -> str:
    """Try to bring it up; return the sentence."""
    with pytest.raises(ConfigError) as caught:
        run(settings, on_change=lambda _: None, on_ready=lambda _: None)
    return str(caught.value)


def test_a_runbook(settings: Settings) -> None:
    """Its file, its key and the fix; nothing was made."""
    spoil(settings)
    error = start(settings)
    assert f"{BOOK}: steps[0].action: 'restart_bott' does not exist" in error
    assert "\n" not in error
    assert not settings.var.exists()


def test_the_file_of_the_databases_password(settings: Settings) -> None:
    """Before the reconciler trips over it."""
    (settings.root / "settings.yml").write_text("database: postgresql://ada@127.0.0.1/x\n")
    settings = load_settings(settings.root, environ={})
    settings.secrets.mkdir(parents=True)
    password = settings.secrets / "database_password"
    password.write_text("geheim")
    password.chmod(0o644)
    assert "others can read it" in start(settings)
    assert not settings.logs.exists()


def test_doctor_checks_the_runbooks(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where promtool is not installed; it says that the queries were not parsed."""
    monkeypatch.setenv("PATH", "")
    check = check_plans(settings)
    assert check.ok, check.detail
    assert "without promtool" in check.detail
    spoil(settings)
    check = check_plans(settings)
    assert not check.ok
    assert "restart_bott" in check.detail
    assert "runbook check" in check.fix
    for book in settings.runbooks.iterdir():
        book.unlink()
    assert "no runbook" in check_plans(settings).detail


def test_a_rules_file_that_is_no_yaml(settings: Settings) -> None:
    """One sentence with the line."""
    (settings.prometheus_config / "rules" / "bot.yml").write_text("groups: [")
    check = check_plans(settings)
    assert not check.ok
    assert "bot.yml: line 1" in check.detail
