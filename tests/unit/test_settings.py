"""Settings: where they come from, which wins, and how mistakes are explained."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.builders import make_registry
from trading_ops.app.build import build
from trading_ops.config.loading import load_settings
from trading_ops.errors import ConfigError


def test_defaults_are_inside_the_root(tmp_path: Path) -> None:
    """Nothing given: everything is beside targets.yml."""
    settings = load_settings(tmp_path, {})
    assert settings.var == tmp_path / "var"
    assert settings.targets_file == tmp_path / "targets.yml"
    assert settings.secrets == tmp_path / "var" / "secrets"
    assert settings.database_url == f"sqlite:///{tmp_path}/var/reconciler/reconciler.db"
    assert not settings.observe_only


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """A variable is for this run, the file for this installation."""
    (tmp_path / "settings.yml").write_text("var: data\npoll_interval_seconds: 5\n")
    environ = {"TRADING_OPS_VAR": "elsewhere", "TRADING_OPS_OBSERVE_ONLY": "true"}
    settings = load_settings(tmp_path, environ)
    assert settings.var == tmp_path / "elsewhere"
    assert settings.poll_interval_seconds == 5.0
    assert settings.observe_only


def test_the_root_is_named_by_the_environment(tmp_path: Path) -> None:
    """TRADING_OPS_ROOT makes the working directory irrelevant."""
    assert load_settings(environ={"TRADING_OPS_ROOT": str(tmp_path)}).root == tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vat: data\n", "vat"),
        ("var: 3\n", "$.var"),
        ("poll_interval_seconds: often\n", "$.poll_interval_seconds"),
        ("poll_interval_seconds: -3\n", "$.poll_interval_seconds"),
        ("poll_interval_seconds: 0\n", "$.poll_interval_seconds"),
        ("poll_interval_seconds: .nan\n", "$.poll_interval_seconds"),
        ("agent_unresponsive_seconds: -1\n", "$.agent_unresponsive_seconds"),
        ("- var\n", "mapping"),
        ("var: [\n", "correct or remove the file"),
    ],
)
def test_mistakes_name_file_key_and_fix(tmp_path: Path, text: str, expected: str) -> None:
    """One sentence, no traceback."""
    (tmp_path / "settings.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path, {})
    assert str(tmp_path / "settings.yml") in str(caught.value)
    assert expected in str(caught.value)
    assert "Fix: " in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TRADING_OPS_POLL_INTERVAL_SECONDS", "abc", "Expected `float`"),
        ("TRADING_OPS_POL_INTERVAL", "1", "unknown setting"),
    ],
)
def test_mistakes_in_the_environment_name_the_variable(
    tmp_path: Path, name: str, value: str, expected: str
) -> None:
    """Not a file that may not even exist."""
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path, {name: value})
    assert str(caught.value).startswith(f"environment: {name}: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("Alpha Bot: /srv/alpha", "not valid as a name"),
        ("../x: /srv/alpha", "not valid as a name"),
        ("alpha: srv/alpha", "relative"),
        ("alpha: {var}/alpha", "backed up anyway"),
        ("alpha: {root}", "contains {var}"),
        ("alpha: /srv", "contains the backups"),
        ("alpha: [1]", "expected a path"),
    ],
)
def test_a_folder_that_cannot_be_backed_up_is_refused(
    tmp_path: Path, entry: str, problem: str
) -> None:
    places = {"root": tmp_path, "var": tmp_path / "var"}
    (tmp_path / "settings.yml").write_text(
        f"backup_repository: /srv/backups\nbackup_folders: {{{entry.format(**places)}}}\n"
    )
    with pytest.raises(ConfigError, match="backup_folders") as caught:
        load_settings(tmp_path, {})
    assert problem.format(**places) in str(caught.value)
    assert "Fix: " in str(caught.value)


def test_a_missing_secret_says_what_to_do(tmp_path: Path) -> None:
    """Secrets are written by the first `up`."""
    settings = load_settings(tmp_path, {})
    with pytest.raises(ConfigError, match="run `trading-ops up` once"):
        settings.secret("operator_token")
    settings.secrets.mkdir(parents=True)
    (settings.secrets / "operator_token").write_text("abc\n")
    assert settings.secret("operator_token") == "abc"


def test_two_secrets_are_accepted_while_one_replaces_the_other(tmp_path: Path) -> None:
    """The first line is sent; every line is accepted."""
    settings = load_settings(tmp_path, {})
    settings.secrets.mkdir(parents=True)
    (settings.secrets / "webhook_token").write_text("new\n\n  old \n")
    assert settings.secret("webhook_token") == "new"
    assert settings.accepted_secrets("webhook_token") == ("new", "old")


@pytest.mark.parametrize("content", [b"", b"\n", b"  ", b"\xff"])
def test_an_empty_secret_opens_nothing(tmp_path: Path, content: bytes) -> None:
    """A token of nothing would let everyone in who sends nothing."""
    settings = load_settings(tmp_path, {})
    settings.secrets.mkdir(parents=True)
    (settings.secrets / "operator_token").write_bytes(content)
    with pytest.raises(ConfigError, match="operator_token"):
        settings.secret("operator_token")


def with_password(folder: Path, text: str = "s3/cret@:%?\n", mode: int = 0o600) -> Path:
    path = folder / "var" / "secrets" / "database_password"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://ops@db/ops", "postgresql://ops:s3%2Fcret%40%3A%25%3F@db/ops"),
        ("postgresql://db:5433/ops", "postgresql://:s3%2Fcret%40%3A%25%3F@db:5433/ops"),
        ("postgresql://ops:own@db/ops", "postgresql://ops:own@db/ops"),
        ("postgresql://dba@db/ops?passfile=/run/pw", "postgresql://dba@db/ops?passfile=/run/pw"),
        (
            "postgresql://ops@/ops?host=a:1&host=b:2",
            "postgresql://ops:s3%2Fcret%40%3A%25%3F@/ops?host=a:1&host=b:2",
        ),
        ("sqlite:////srv/ops.db", "sqlite:////srv/ops.db"),
    ],
)
def test_the_databases_password_comes_from_its_file(
    tmp_path: Path, given: str, expected: str
) -> None:
    """Any character may be in it; one in the URL, from the environment, is meant."""
    with_password(tmp_path)
    url = load_settings(tmp_path, {"TRADING_OPS_DATABASE": given}).database_url
    assert url == expected
    if "s3" in expected:
        assert make_url(url).password == "s3/cret@:%?"


def test_a_database_without_a_password(tmp_path: Path) -> None:
    """A socket, a certificate or libpq's own password file need none of ours."""
    (tmp_path / "settings.yml").write_text("database: postgresql:///ops?host=/run/postgresql\n")
    url = load_settings(tmp_path, {}).database_url
    assert url == "postgresql:///ops?host=/run/postgresql"


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [("\n", 0o600, "it is empty"), ("x\n", 0o640, "others can read it.* chmod go= ")],
)
def test_a_password_file_that_is_wrong(tmp_path: Path, text: str, mode: int, expected: str) -> None:
    """No one connects without a password by accident, and no one else reads it."""
    with_password(tmp_path, text, mode)
    settings = load_settings(tmp_path, {"TRADING_OPS_DATABASE": "postgresql://ops@db/ops"})
    with pytest.raises(ConfigError, match=expected):
        _ = settings.database_url


CANARY = "canary-7f3a"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"mysql://u:{CANARY}@h/x", "unsupported database 'mysql'"),
        (f"postgresql+asyncpg://u:{CANARY}@h/x", "unsupported database"),
        (f"u:{CANARY}@h/x", "write postgresql://USER@HOST/DATABASE"),
        (f"postgresql:/u:{CANARY}@h/x", "write postgresql://USER@HOST/DATABASE"),
        (f"postgresql://u:{CANARY}@h/x", "var/secrets/database_password"),
        (f"postgresql://u@h/x?password={CANARY}", "var/secrets/database_password"),
        (f"postgresql://u:{CANARY}@h/x: [", "line 1: "),
        (
            f"''\nbackup_database: postgresql://u:{CANARY}@h/x",
            "var/secrets/backup_database_password",
        ),
        (f"''\nbackup_database: sqlite:////{CANARY}", "leave it empty"),
    ],
)
def test_a_database_that_is_none_is_reported_without_its_password(
    tmp_path: Path, given: str, expected: str
) -> None:
    """Neither in the file nor in the environment is what was written repeated."""
    (tmp_path / "settings.yml").write_text(f"database: {given}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path, {})
    assert expected in str(caught.value)
    assert CANARY not in str(caught.value)
    if not given.startswith("postgresql://"):
        with pytest.raises(ConfigError) as caught:
            load_settings(tmp_path, {"TRADING_OPS_DATABASE": given})
        assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("freqtrader:a:secret\n", 0o600, ""),
        ("freqtrader:a:secret\n", 0o640, "others can read it. Fix: chmod go= "),
        ("freqtrader\n", 0o600, "user:password. Fix: umask 077"),
        (":secret\n", 0o600, "user:password"),
        ("freqtrader:\n", 0o600, "user:password"),
        ("freqtrader:a\nfreqtrader:b\n", 0o600, "one line"),
        (None, 0o600, "no such file or directory. Fix: umask 077"),
    ],
)
def test_the_credentials_of_a_freqtrade(
    tmp_path: Path, text: str | None, mode: int, expected: str
) -> None:
    """One line that only we can read; a mistake names the file, and never what is in it."""
    settings = load_settings(tmp_path, {})
    settings.secrets.mkdir(parents=True)
    file = settings.secrets / "freqtrade_freq"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    if not expected:
        assert settings.freqtrade_credentials("freq") == "freqtrader:a:secret"
        return
    with pytest.raises(ConfigError) as caught:
        settings.freqtrade_credentials("freq")
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)
    assert "secret" not in str(caught.value).replace(str(settings.secrets), "")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user of this machine can enter, as pytest's own is not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def token_in(folder: Path, mode: int, name: str = "operator_token") -> Path:
    path = folder / "var" / "secrets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for parent in (path.parent, path.parent.parent):
        parent.chmod(0o755)
    path.write_text("abc\n")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_token_that_every_user_can_open_is_refused(open_folder: Path, mode: int) -> None:
    """With the file and the command that fixes it; the command line and the API read it so."""
    path = token_in(open_folder, mode)
    settings = load_settings(open_folder, {})
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        settings.secret("operator_token")
    named = load_settings(open_folder, {"TRADING_OPS_TOKEN_FILE": str(path)})
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        _ = named.command_token


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_a_token_of_the_owner_or_the_group_is_read(open_folder: Path, mode: int) -> None:
    """Which group may read it is the owner's choice."""
    path = token_in(open_folder, mode)
    named = load_settings(open_folder, {"TRADING_OPS_TOKEN_FILE": str(path)})
    assert (named.secret("operator_token"), named.command_token) == ("abc", "abc")


def test_a_folder_that_others_cannot_enter_protects_any_mode(open_folder: Path) -> None:
    """A container gets its secrets with mode 0444, in a folder of its own user."""
    path = token_in(open_folder, 0o444)
    path.parent.chmod(0o700)
    assert load_settings(open_folder, {}).secret("operator_token") == "abc"


def test_a_link_does_not_hide_the_mode(open_folder: Path, tmp_path: Path) -> None:
    """What counts is where the file is, not where its name is."""
    path = token_in(open_folder, 0o644)
    link = tmp_path / "token"
    link.symlink_to(path)
    named = load_settings(open_folder, {"TRADING_OPS_TOKEN_FILE": str(link)})
    with pytest.raises(ConfigError, match="every local user"):
        _ = named.command_token


@pytest.mark.parametrize("name", ["supervisor_token", "node_token", "agent_token_alpha"])
async def test_the_reconciler_does_not_start_with_exposed_tokens(
    open_folder: Path, name: str
) -> None:
    """Those that it sends are checked at its start, so that no halt fails on a mode later."""
    path = token_in(open_folder, 0o644, name)
    settings = load_settings(open_folder, {"TRADING_OPS_RUNBOOKS": str(open_folder)})
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        async with build(settings, make_registry()):
            pytest.fail("it started")
