"""The wheel and the sdist, installed where there is no checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[3]
BUILD = """
import sys
from hatchling import build
print(getattr(build, "build_" + sys.argv[1])(sys.argv[2]))
"""


def build(kind: str, source: Path, to: Path) -> Path:
    """Build with the project's own backend, as pip does, and return the file."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, kind, str(to)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return to / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build("sdist", ROOT, tmp_path)
    (tmp_path / "source").mkdir()
    subprocess.run(["tar", "-xzf", sdist, "-C", tmp_path / "source"], check=True, timeout=60)
    (source,) = (tmp_path / "source").iterdir()
    again = build("wheel", source, tmp_path)
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as other:
        assert {item.filename: item.CRC for item in first.infolist()} == {
            item.filename: item.CRC for item in other.infolist()
        }


def test_a_project_is_made_and_checked_without_a_checkout(wheel: Path, tmp_path: Path) -> None:
    """The wheel alone, in an environment that has our libraries and not this folder."""
    shutil.unpack_archive(wheel, tmp_path / "site", "zip")
    # Libraries by a path that reads no .pth file: the checkout is not importable.
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": f"{tmp_path / 'site'}:{sysconfig.get_paths()['purelib']}",
    }

    def run(*arguments: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-S", "-m", "trading_ops.cli.main", *arguments],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    made = run("init", "project")
    assert made.returncode == 0, made.stderr
    project = tmp_path / "project"
    assert (project / "prometheus" / "rules" / "bot.yml").is_file()
    assert (project / "grafana" / "dashboards" / "overview.json").is_file()
    checked = run("config", "check", "--output", "json", cwd=project)
    checks = {check["name"]: check for check in json.loads(checked.stdout)["checks"]}
    assert checks["targets"]["ok"], checks
    assert checks["runbooks"]["ok"], checks
    assert "is up to date" in run("init", "project", "--update").stdout
