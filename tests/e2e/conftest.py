"""One running stack for all tests of this folder."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.stack import Stack
from trading_ops.stack.scene import Scene, open_scene


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack, one for all tests of this folder."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.up()
    _running.append(stack)
    yield stack
    _end()


_running: list[Stack] = []


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """End the stack after the last test of this folder: others follow in the same process."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        _end()


def _end() -> None:
    while _running:
        _running.pop().down()


@pytest.fixture
async def scene(stack: Stack) -> AsyncIterator[Scene]:
    """Clients of everything in the running stack."""
    async with open_scene(stack.settings) as scene:
        yield scene
