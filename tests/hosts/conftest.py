"""What every host runs: an image with systemd, and the wheel with all that it needs."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.compose.composed import ROOT
from tests.compose.images import docker, missing_base
from tests.hosts.hosts import DOCKERFILE, IMAGE

BUILD = "import sys; from hatchling import build; print(build.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="session")
def image() -> str:
    """The image of a host."""
    if why_not := missing_base():
        pytest.skip(why_not)
    docker("build", "--network", "host", "-t", IMAGE, "-", text=DOCKERFILE, within=1200)
    return IMAGE


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a folder with all that it needs: the hosts have no index."""
    folder = tmp_path_factory.mktemp("wheels")
    built = subprocess.run(
        [sys.executable, "-c", BUILD, folder], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wheel = folder / built.stdout.split()[-1]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
    wanted = f"{wheel}[node,exporter,postgresql,lab]"
    subprocess.run([*pip, "--python-version", "3.11", "-d", folder, wanted], check=True)
    return wheel
