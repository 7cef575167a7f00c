"""An installation, with each kind of repository in turn."""

import shutil
from pathlib import Path

import pytest

from tests.backup.installation import Installation


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation to copy."""
    root = tmp_path_factory.mktemp("installation")
    Installation.make(root)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A project folder of the test's own."""
    shutil.copytree(made, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def installation(root: Path) -> Installation:
    """An installation with the default repository: a folder, not encrypted."""
    return Installation(root)
