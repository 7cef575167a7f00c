"""The address of the dead man's switch in Alertmanager's file."""

from pathlib import Path

import pytest
import yaml

from tests.unit.stack.registries import REPOSITORY, committed, settings_in
from trading_ops.config.loading import load_settings
from trading_ops.errors import ConfigError, SetupError
from trading_ops_lab.supervisor.dead_man_switch import with_switch
from trading_ops_lab.supervisor.layout import lay_out

COMMITTED = (REPOSITORY / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")


def receiver(text: str) -> object:
    (found,) = (
        entry for entry in yaml.safe_load(text)["receivers"] if entry["name"] == "dead-man-switch"
    )
    return found.get("webhook_configs")


@pytest.mark.parametrize("url", ["https://switch.example/a?b='c'#\"d\"", "http://127.0.0.1:9/x"])
def test_the_receiver_gets_the_address_as_it_is(url: str) -> None:
    """Whatever is in it stays a value; nothing else of the file changes."""
    text = with_switch(COMMITTED, url)
    assert receiver(text) == [
        {"url": url, "send_resolved": False, "http_config": {"follow_redirects": False}}
    ]
    assert [line for line in COMMITTED.splitlines() if line not in text.splitlines()] == []
    assert len(text.splitlines()) == len(COMMITTED.splitlines()) + 4


@pytest.mark.parametrize(
    "url",
    [
        "switch.example",
        "ftp://switch.example",
        "https:///x",
        "https://a\nb",
        "http://switch.example",
    ],
)
def test_what_cannot_be_called_or_read_by_others_is_refused(url: str) -> None:
    """The error names the setting and shows no address, which is a secret of its own."""
    with pytest.raises(ConfigError, match=r"settings: dead_man_switch: .+ Fix: ") as raised:
        with_switch(COMMITTED, url)
    assert url not in str(raised.value)


def test_a_file_without_the_receiver_is_refused() -> None:
    """Rather than to believe in a switch that no one calls."""
    with pytest.raises(SetupError, match="receiver `dead-man-switch`"):
        with_switch("receivers: []\n", "https://switch.example")


def test_up_writes_a_copy_when_a_switch_is_set_and_none_without(tmp_path: Path) -> None:
    """The committed file is never written to, and is used again when the setting goes."""
    config = tmp_path / "alertmanager" / "alertmanager.yml"
    plain = settings_in(tmp_path)
    url = "https://switch.example/ping/1"
    variables = {"TRADING_OPS_VAR": str(tmp_path), "TRADING_OPS_DEAD_MAN_SWITCH": url}
    lay_out(load_settings(REPOSITORY, variables), committed())
    assert not config.is_symlink()
    assert config.read_text(encoding="utf-8") == with_switch(COMMITTED, url)
    lay_out(plain, committed())
    assert config.is_symlink()
    lay_out(load_settings(REPOSITORY, variables), committed())
    source = REPOSITORY / "alertmanager" / "alertmanager.yml"
    assert source.read_text(encoding="utf-8") == COMMITTED
