"""The bot's configuration: each mistake is a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from trading_ops.errors import ConfigError
from trading_ops_lab.paper.bot.config import load_config, read_secret

pytestmark = pytest.mark.processes

GOOD: dict[str, Any] = {
    "name": "alpha",
    "venue": "paper",
    "venue_address": "127.0.0.1:8401",
    "agent_address": "127.0.0.1:8411",
    "state_dir": "bot",
    "metrics_token_file": "m",
    "agent_token_file": "a",
    "key_file": "k",
    "secret_file": "s",
    "symbols": ["BTC/USD"],
}


def test_configuration_with_defaults(tmp_path: Path) -> None:
    """The documented keys are enough."""
    path = tmp_path / "bot.json"
    path.write_text(json.dumps(GOOD))
    config = load_config(path)
    assert config.state_dir == Path("bot")
    assert config.dead_man_seconds == 15


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Alpha!"}, "name"),
        ({"symbols": []}, "symbols"),
        ({"symbols": ["BTCUSD"]}, "symbols"),
        ({"pass_interval_seconds": 0}, "pass_interval_seconds"),
        ({"dead_man_seconds": 2}, "dead_man_seconds"),
        ({"unknown": 1}, "unknown"),
        ({"venue_address": "10.0.0.1:8401"}, "venue_address"),
        ({"agent_address": "nonsense"}, "agent_address"),
        ({"agent_address": "127.0.0.1:99999"}, "agent_address"),
        ({"fast_samples": 20}, "fast_samples"),
        ({"order_notional": "-1"}, "order_notional"),
        ({"state_dir": 3}, "state_dir"),
        ({"watchers": ["loop_lag", "everything"]}, "watchers"),
        ({"stuck_seconds": 0}, "stuck_seconds"),
    ],
)
def test_wrong_configuration_names_the_key(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    """Each mistake is named with its key."""
    path = tmp_path / "bot.json"
    path.write_text(json.dumps(GOOD | changes))
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_configuration_must_be_json(tmp_path: Path) -> None:
    """A file that is not JSON is refused in a sentence."""
    path = tmp_path / "bot.json"
    path.write_text("name: alpha")
    with pytest.raises(ConfigError, match="JSON"):
        load_config(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff"])
def test_secret_must_hold_something(tmp_path: Path, content: bytes) -> None:
    """An empty or unreadable secret is refused."""
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="trading-ops up"):
        read_secret(path)
