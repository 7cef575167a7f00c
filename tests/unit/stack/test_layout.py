import json
import stat
from pathlib import Path

import pytest

from tests.unit.stack.registries import REPOSITORY, TWO_BOTS, changed, committed, settings_in
from trading_ops.errors import SetupError
from trading_ops.project.discovery import discovery
from trading_ops_lab.supervisor.layout import lay_out, replace_addresses


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_for_the_owner_only(tmp_path: Path) -> None:
    """Every secret has mode 0600, in a folder of mode 0700."""
    settings = settings_in(tmp_path)
    lay_out(settings, committed())
    assert mode(settings.secrets) == 0o700
    names = {path.name for path in settings.secrets.iterdir()}
    assert {"metrics_token", "webhook_token", "venue_secret", "venue_key_manual"} <= names
    assert {mode(path) for path in settings.secrets.iterdir()} == {0o600}
    assert len(settings.secret("operator_token")) == 64


def test_secrets_are_kept_and_tightened(tmp_path: Path) -> None:
    """A second time changes no secret, and closes one that was opened."""
    settings = settings_in(tmp_path)
    lay_out(settings, committed())
    for name in ("agent_token_alpha", "operator_token"):
        before = settings.secret(name)
        (settings.secrets / name).chmod(0o644)
        lay_out(settings, committed())
        assert settings.secret(name) == before
        assert mode(settings.secrets / name) == 0o600


def test_each_bot_has_a_token_of_its_own(tmp_path: Path) -> None:
    """In a new folder there is none for all bots."""
    settings = settings_in(tmp_path)
    lay_out(settings, changed(TWO_BOTS))
    alpha, beta = (
        Path(json.loads((tmp_path / "config" / f"bot-{name}.json").read_text())["agent_token_file"])
        for name in ("alpha", "beta")
    )
    assert alpha.read_text() != beta.read_text()
    assert not (settings.secrets / "agent_token").exists()


def test_each_bot_has_a_key_of_its_own(tmp_path: Path) -> None:
    """Two bots never share a key, for its nonces must increase."""
    settings = settings_in(tmp_path)
    lay_out(settings, changed(TWO_BOTS))
    alpha, beta = (
        json.loads((tmp_path / "config" / f"bot-{name}.json").read_text())
        for name in ("alpha", "beta")
    )
    assert Path(alpha["key_file"]).read_text() != Path(beta["key_file"]).read_text()
    venue = json.loads((tmp_path / "config" / "venue.json").read_text())
    assert [key["account"] for key in venue["keys"]] == ["alpha", "beta", "manual"]
    assert {key["key_file"] for key in venue["keys"]} > {alpha["key_file"], beta["key_file"]}


def test_discovery_carries_the_labels_of_the_registry() -> None:
    """Bots are scraped with bot, venue and their own labels, other targets without."""
    files = discovery(committed())
    assert files["bots"] == [
        {
            "targets": ["127.0.0.1:8411"],
            "labels": {"strategy": "sma_cross", "bot": "alpha", "venue": "paper"},
        }
    ]
    assert files["exporters"] == [{"targets": ["127.0.0.1:8421"], "labels": {}}]
    others = {"reconcilers", "prometheus", "alertmanagers", "supervisors", "nodes"}
    assert set(files) == {"bots", "exporters"} | others


def test_committed_configurations_are_linked(tmp_path: Path) -> None:
    """With the addresses as shipped, Prometheus and Alertmanager read the committed files."""
    lay_out(settings_in(tmp_path), committed())
    for link, file in (
        ("prometheus/prometheus.yml", "prometheus/prometheus.yml"),
        ("prometheus/rules", "prometheus/rules"),
        ("alertmanager/alertmanager.yml", "alertmanager/alertmanager.yml"),
        ("alertmanager/templates", "alertmanager/templates"),
    ):
        assert (tmp_path / link).is_symlink()
        assert (tmp_path / link).resolve() == REPOSITORY / file
    token = (tmp_path / "prometheus" / "secrets" / "metrics_token").read_text()
    assert token == settings_in(tmp_path).secret("metrics_token")


def test_moved_addresses_make_a_copy_and_leave_the_committed_file_alone(tmp_path: Path) -> None:
    """Only the two addresses differ in the copy, and moving back makes it a link again."""
    settings = settings_in(tmp_path)
    committed_file = REPOSITORY / "alertmanager" / "alertmanager.yml"
    original = committed_file.read_text()
    lay_out(settings, committed())
    lay_out(settings, changed(("127.0.0.1:8431", "127.0.0.1:9431")))
    config = tmp_path / "alertmanager" / "alertmanager.yml"
    assert not config.is_symlink()
    assert config.read_text() == original.replace("127.0.0.1:8431", "127.0.0.1:9431")
    assert committed_file.read_text() == original
    lay_out(settings, committed())
    assert config.is_symlink()


def test_addresses_that_change_places_stay_two() -> None:
    """Two addresses that are swapped do not both become the same one."""
    swap = {"127.0.0.1:1": "127.0.0.1:2", "127.0.0.1:2": "127.0.0.1:1"}
    text = "a 127.0.0.1:1 b 127.0.0.1:2 c 127.0.0.1:11"
    assert replace_addresses(text, swap) == "a 127.0.0.1:2 b 127.0.0.1:1 c 127.0.0.1:11"


def test_an_address_that_is_not_there_is_an_error() -> None:
    """A file that does not name the address would silently keep the wrong one."""
    with pytest.raises(SetupError, match=r"alertmanager\.yml .* 127\.0\.0\.1:3"):
        replace_addresses("nothing", {"127.0.0.1:3": "127.0.0.1:4"})


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """The error names the folder and what to do."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match=r"cannot be written .*TRADING_OPS_VAR") as raised:
        lay_out(settings_in(tmp_path / "file" / "var"), committed())
    assert "\n" not in str(raised.value)


def test_a_missing_configuration_says_where_to_run(tmp_path: Path) -> None:
    """Outside the project's folder, the error says so."""
    settings = settings_in(tmp_path / "var")
    elsewhere = type(settings)(
        root=tmp_path, var=settings.var, prometheus_config=tmp_path / "prometheus"
    )
    with pytest.raises(SetupError, match="run this in the project's folder"):
        lay_out(elsewhere, committed())
