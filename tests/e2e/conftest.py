"""One running stack for all tests of this folder."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.stack import Stack, running_stack
from trading_ops_lab.drills.lab_clients import Scene, open_scene


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack, one for all tests of this folder."""
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
async def scene(stack: Stack) -> AsyncIterator[Scene]:
    """Clients of everything in the running stack."""
    async with open_scene(stack.settings) as scene:
        yield scene
