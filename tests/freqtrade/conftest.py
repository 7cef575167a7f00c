"""The real Freqtrade's tests run only where one is named: `make test-freqtrade` does.

Without `--freqtrade PATH` nothing here is collected, for it is 800 MB and needs minutes.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.freqtrade.real import PASSWORD, USER, WS_TOKEN, Exchange, RealFreqtrade
from tests.stack import Stack
from trading_ops.config.targets import load_targets
from trading_ops_lab.drills.lab_clients import Scene, open_scene

NAME = "freq"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--freqtrade", type=Path, help="the command of the Freqtrade to prove with")
    parser.addoption("--cut-off", action="store_true", help="there is no network but loopback")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = config.getoption("--freqtrade", default=None) is not None
    return None if asked or not collection_path.name.startswith("test_") else True


@pytest.fixture(scope="session")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    with Exchange(tmp_path_factory.mktemp("exchange")) as exchange:
        yield exchange


@pytest.fixture(scope="session")
def real(
    request: pytest.FixtureRequest, exchange: Exchange, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealFreqtrade]:
    """The real Freqtrade, running; a test that stops it starts it again."""
    binary: Path = request.config.getoption("--freqtrade")
    with RealFreqtrade(binary.absolute(), tmp_path_factory.mktemp("real"), exchange) as real:
        real.start()
        yield real


class StackWithFreqtrade(Stack):
    """The shipped stack whose registry has a Freqtrade, and nothing else that is new."""

    def __init__(self, folder: Path, address: str) -> None:
        super().__init__(folder)
        entry = {"name": NAME, "kind": "freqtrade", "venue": "binance", "address": address}
        file = self.settings.targets_file
        written: dict[str, Any] = yaml.safe_load(file.read_text())
        written["targets"].append(entry)
        file.write_text(yaml.safe_dump(written))
        self.registry = load_targets(file)
        self.settings.secrets.mkdir(parents=True, mode=0o700)
        for name, text in ((NAME, f"{USER}:{PASSWORD}"), (f"{NAME}.ws_token", WS_TOKEN)):
            secret = self.settings.secrets / f"freqtrade_{name}"
            secret.touch(mode=0o600)
            secret.write_text(f"{text}\n")


@pytest.fixture(scope="session")
def stack(
    real: RealFreqtrade, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackWithFreqtrade]:
    """Prometheus, Alertmanager, exporter and reconciler, as `make up` starts them."""
    stack = StackWithFreqtrade(tmp_path_factory.mktemp("stack"), real.address)
    done = stack.run("up", "--detach")
    assert done.returncode == 0, done.stderr + stack.logs()
    yield stack
    done = stack.run("down")
    assert done.returncode == 0, done.stderr
    assert stack.pids() == set()


@pytest.fixture
async def scene(stack: StackWithFreqtrade) -> AsyncIterator[Scene]:
    async with open_scene(stack.settings) as scene:
        yield scene
