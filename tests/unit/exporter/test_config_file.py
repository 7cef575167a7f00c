"""A mistake in the exporter's file is named with its key and its fix; what is right is read."""

from pathlib import Path

import pytest

from trading_ops.errors import ConfigError
from trading_ops.exporter.config import load_config

EXAMPLE = Path(__file__).parents[3] / "deploy" / "exporter.yml"


def written(folder: Path, text: str, name: str = "exporter.yml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_committed_example_is_right() -> None:
    """As it is, and with everything in it that is commented out."""
    assert load_config(EXAMPLE).paths == (Path("/"),)


def test_the_example_with_everything_on(tmp_path: Path) -> None:
    """What is commented out in it can be uncommented."""
    lines = EXAMPLE.read_text().splitlines()
    used = [line.removeprefix("#") if line.startswith("#  ") else line for line in lines]
    text = "\n".join(used).replace(": []", ":")
    config = load_config(written(tmp_path, text))
    assert [process.name for process in config.processes] == ["freqtrade", "collector"]
    assert config.processes[1].command == "python3 -m collector --live"
    assert config.ccxt[0].key_file == tmp_path / "secrets/kraken_key"
    assert config.freqtrades[0].credentials_file == tmp_path / "secrets/freqtrade"


def test_an_empty_file_watches_the_host(tmp_path: Path) -> None:
    """Every key has a default; paths count from the file's folder."""
    config = load_config(written(tmp_path, ""))
    assert config.address == "127.0.0.1:8421"
    assert config.metrics_token_file == tmp_path / "metrics_token"


def test_json_is_read_too(tmp_path: Path) -> None:
    """It is what `trading-ops up` writes."""
    path = written(tmp_path, '{"paths": ["/"], "address": "127.0.0.1:1"}', "exporter.json")
    assert load_config(path).address == "127.0.0.1:1"


ENTRY = "ccxt:\n  - {name: a, exchange: kraken}\n  - "


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("venus: []", "venus", "unknown key. Fix: one of address, metrics_token_file"),
        ("address: 5", "address", "Expected `str`, got `int`"),
        ("address: nowhere", "address", "invalid address"),
        ("address: 127.0.0.1:99999", "address", "invalid address"),
        ("address: 0.0.0.0:8421", "address", "name a `tls_folder`"),
        ("address: example.org:8421", "address", "can be reached from other machines"),
        ("paths: /", "paths", "Expected `array`"),
        ("paths: [3]", "paths[0]", "Expected a path"),
        (ENTRY + "{name: b}", "ccxt[b].exchange", "it is missing. Fix: add `exchange: …`"),
        (ENTRY + "{name: b, exchange: x!}", "ccxt[b].exchange", "matching regex"),
        (ENTRY + "{exchange: kraken, nam: b}", "ccxt[1].nam", "Fix: one of name, exchange"),
        (ENTRY + "{name: a, exchange: okx}", "venues, ccxt", "the name a is used twice"),
        (ENTRY + "{name: b, exchange: okx, key_file: k}", "ccxt[b]", "a key needs its secret"),
        (ENTRY + "{name: b, exchange: okx, url: 'http://x'}", "ccxt[b].url", "unencrypted"),
        (ENTRY + "{name: b, exchange: okx, url: 'http://127.0.0.1:@x'}", "ccxt[b].url", "https"),
        (ENTRY + "{name: b, exchange: okx, url: nowhere}", "ccxt[b].url", "https"),
        (ENTRY + "{name: b, exchange: okx, timeout_seconds: 0}", "ccxt[b].timeout_seconds", ">= 1"),
        ("processes: [{name: a}]", "processes[a]", "how to find the process"),
        ("processes: [{name: a, unit: b}]", "processes[a]", "unit and units_file"),
        ("processes: [{name: A B, pid_file: p}]", "processes[A B].name", "matching regex"),
        ("venues: [{name: a, address: x, port: 1}]", "venues[a].port", "one of name, address"),
        ("- a\n- b", "", "Expected `object`, got `array`"),
        ("a: [", "", "line 1"),
        ("a: !!python/object:os.system {}", "", "could not determine a constructor"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, key: str, message: str) -> None:
    """The file, the key as an operator would look for it, and what to do."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.where == str(path)
    assert caught.value.key == key
    assert message in str(caught.value)
    assert "Fix: " in str(caught.value)


def test_what_is_no_text_is_named(tmp_path: Path) -> None:
    """And what is not there."""
    path = tmp_path / "exporter.yml"
    with pytest.raises(ConfigError, match=r"No such file .*deploy/exporter\.yml"):
        load_config(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(path)


@pytest.mark.parametrize(
    "text",
    [
        "address: 0.0.0.0:8421\nbeyond_this_host: true",
        "address: '[::1]:8421'",
        "address: localhost:1",
    ],
)
def test_addresses_that_are_meant(tmp_path: Path, text: str) -> None:
    """Loopback in each form, and others if configured."""
    assert load_config(written(tmp_path, text)).address in text
