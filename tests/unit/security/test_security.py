"""`trading-ops security`: real files, and tools that answer as theirs do."""

import json
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trading_ops.cli.security import security

TOKEN = "k3J9sPq2vXz7LmN4"
AUDITED = {
    "dependencies": [
        {"name": "aiohttp", "version": "3.14.5", "vulns": []},
        {
            "name": "jinja2",
            "version": "3.1.6",
            "vulns": [{"id": "GHSA-0001", "fix_versions": ["9.9"]}],
        },
        {"name": "ours", "skip_reason": "not on PyPI"},
    ],
    "fixes": [],
}
SUSPECTED = {
    "version": "1.5",
    "results": {
        "deploy.py": [{"type": "AWS Access Key", "hashed_secret": "07af", "line_number": 3}],
        "var/secrets/api": [{"type": "Secret Keyword", "hashed_secret": "11", "line_number": 1}],
    },
}
"""What pip-audit 2.10 and bc-detect-secrets 1.5 print, shortened."""


class Place:
    """An installation in a folder that every user may enter, and the tools on its PATH."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.secrets = root / "var" / "secrets"
        self.secrets.mkdir(parents=True)
        self.put("var/secrets/operator_token", TOKEN, 0o600)
        self.tools = root / ".tools"
        self.tools.mkdir()
        monkeypatch.setenv("TRADING_OPS_ROOT", str(root))
        monkeypatch.setenv("TRADING_OPS_VAR", str(root / "var"))
        # Nothing else of this machine: neither its tools nor the network.
        monkeypatch.setenv("PATH", f"{self.tools}:/usr/bin:/bin")
        monkeypatch.setattr("sys.executable", str(self.tools / "python"))
        self.tool("pip", "echo '[]'")
        self.tool("pip-audit", """echo '{"dependencies": []}'""")
        self.tool("detect-secrets", """echo '{"results": {}}'""")

    def put(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def tool(self, name: str, script: str) -> None:
        """Put a program on the PATH."""
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def look(self, *options: str) -> Result:
        return CliRunner().invoke(security, options)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """An installation without findings."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Place(Path(folder), monkeypatch)


def test_nothing_is_found_in_a_sound_installation(place: Place) -> None:
    """Exit code 0; Prometheus has its own copy of a token, in a folder of secrets."""
    place.put("settings.yml", "observe_only: true\n")
    place.put("var/prometheus/secrets/metrics_token", TOKEN, 0o640)
    for options in ((), ("--require-all",)):
        result = place.look(*options)
        assert (result.exit_code, result.output) == (0, "no findings\n")


@pytest.mark.parametrize("name", ["notify.yml", "scripts/halt.sh", "var/log/reconciler.log"])
def test_a_copy_of_a_secret_is_found(place: Place, name: str) -> None:
    """By its file and the name of the secret; its value is not printed again."""
    place.put(name, f"# {'x' * 1_048_565}{TOKEN}\n# {'y' * 100}\n")
    result = place.look()
    assert result.exit_code == 1
    assert f"{name} contains the secret operator_token" in result.output
    assert TOKEN not in result.output


def test_a_secret_that_every_user_can_open_is_found(place: Place) -> None:
    """Until its mode is that of the fix."""
    path = place.put("var/secrets/webhook_token", "z" * 20, 0o644)
    result = place.look()
    assert result.exit_code == 1
    assert f"chmod 600 {path}" in result.output
    path.chmod(stat.S_IRUSR)
    assert place.look().exit_code == 0


def test_a_copy_for_prometheus_that_every_user_can_open_is_found(place: Place) -> None:
    """It is a secret like the original."""
    path = place.put("var/prometheus/secrets/metrics_token", TOKEN, 0o644)
    result = place.look()
    assert (result.exit_code, f"chmod 600 {path}" in result.output) == (1, True)


def test_patterns_of_secrets_are_found_outside_the_folder_of_secrets(place: Place) -> None:
    """One that the baseline lists is none."""
    place.tool("detect-secrets", f"cat <<'END'\n{json.dumps(SUSPECTED)}\nEND")
    result = place.look()
    assert result.exit_code == 1
    assert "deploy.py may contain a secret (AWS Access Key, line 3)" in result.output
    assert "var/secrets" not in result.output
    place.put(".secrets.baseline", json.dumps(SUSPECTED))
    assert place.look().exit_code == 0


def test_vulnerable_packages_fail_and_outdated_ones_do_not(place: Place) -> None:
    """pip-audit exits with 1 when it found something."""
    outdated = [{"name": "rich", "version": "14.0", "latest_version": "15.1"}]
    place.tool("pip", f"echo '{json.dumps(outdated)}'")
    result = place.look()
    assert (result.exit_code, "rich 14.0 → 15.1" in result.output) == (0, True)
    place.tool("pip-audit", f"echo '{json.dumps(AUDITED)}'; exit 1")
    result = place.look()
    assert result.exit_code == 1
    assert result.output.startswith("! jinja2 3.1.6 has GHSA-0001: update to 9.9")


def test_outdated_packages_are_unknown_without_an_index(place: Place) -> None:
    """`pip list --outdated` prints an empty list and succeeds then; `pip index` fails."""
    place.tool("pip", """case "$*" in *index*) echo no index >&2; exit 1 ;; esac; echo '[]'""")
    result = place.look()
    assert (result.exit_code, "outdated packages: not checked" in result.output) == (0, True)


def test_pip_audit_asks_the_database_of_the_settings(place: Place) -> None:
    """And no other one."""
    place.put("settings.yml", "vulnerability_database: https://osv.example/v1/query\n")
    place.tool("pip-audit", f"""echo "$*" > {place.root}/asked; echo '{{"dependencies": []}}'""")
    assert place.look().exit_code == 0
    assert "--osv-url=https://osv.example/v1/query" in (place.root / "asked").read_text()


@pytest.mark.parametrize("tool", ["pip", "pip-audit", "detect-secrets"])
@pytest.mark.parametrize("script", ["echo no route to host >&2; exit 1", "echo '<html>'", None])
def test_failed_checks_are_reported(place: Place, tool: str, script: str | None) -> None:
    """Without a network or the tool: neither silence, nor a failure unless all is required."""
    if script is None:
        (place.tools / tool).unlink()
    else:
        place.tool(tool, script)
    result = place.look()
    assert result.exit_code == 0
    assert "not checked" in result.output
    required = place.look("--require-all", "--output", "json")
    assert required.exit_code == 1
    assert "not checked: " in required.stderr
    assert json.loads(required.stdout)[0]["subject"] == "not checked"


def test_an_expired_certificate_is_found(place: Place) -> None:
    """As is a file that is none."""
    place.put("var/tls/alpha.crt", "-----BEGIN CERTIFICATE-----\n")
    result = place.look()
    assert result.exit_code == 1
    assert "the certificate alpha has expired, or is invalid" in result.output
