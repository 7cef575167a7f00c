"""Faults of a running stack. `make faults` runs them; they take minutes."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.stack import Stack, running_stack
from trading_ops_lab.drills.lab_clients import Scene, open_scene


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A running stack of the test's own, which it may damage."""
    with running_stack(tmp_path) as stack:
        yield stack


@pytest.fixture
async def scene(stack: Stack) -> AsyncIterator[Scene]:
    """Clients of everything in the running stack."""
    async with open_scene(stack.settings) as scene:
        yield scene
