"""An upgrade to a release that does not stay healthy returns to the old one, with its schema.

Needs a Docker engine. The new releases are copies of the wheel with a further migration, and with
a defect.
"""

import subprocess
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.compose.images import missing_tools
from tests.hosts.hosts import Host, running_host
from tests.waiting import eventually
from trading_ops.store.migrate import HEAD

WHY_NOT = missing_tools(compose=False)
pytestmark = [pytest.mark.hosts, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

NEWER = f"{int(HEAD) + 1:04}"
MIGRATION = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{NEWER}", "{HEAD}"


def upgrade():
    op.create_table("news", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("news")
"""
ENDS_LATER = "import os, threading\nthreading.Timer(15, os._exit, (3,)).start()\n"
"""After it has reported that it is ready."""

ENDS = "raise SystemExit('defect')\n"
TARGET = """
  - name: alpha
    kind: bot
    venue: kraken
    address: 127.0.0.1:8411
    service: {manager: systemd, unit: bot.service, node: host-1}
"""

Defects = Mapping[str, str]
Release = Callable[[Defects], str]


@pytest.fixture(scope="module")
def release(package: Path) -> Release:
    """Makes a release with a newer schema and text before some files; returns what pip installs."""

    def make(defects: Defects) -> str:
        folder = package.parent / f"release-{len(list(package.parent.iterdir()))}"
        folder.mkdir()
        with (
            zipfile.ZipFile(package) as old,
            zipfile.ZipFile(folder / package.name, "w") as new,
        ):
            for entry in old.infolist():
                content = old.read(entry).decode("latin-1")
                if entry.filename == "trading_ops/store/migrate.py":
                    content = content.replace(f'HEAD = "{HEAD}"', f'HEAD = "{NEWER}"')
                content = defects.get(entry.filename, "") + content
                new.writestr(entry, content.encode("latin-1"))
            path = f"trading_ops/store/migrations/versions/{NEWER}_news.py"
            new.writestr(path, MIGRATION)
        return f"/wheels/{folder.name}/{package.name}[node,exporter,postgresql]"

    return make


@pytest.fixture(scope="module")
def host(image: str, package: Path) -> Iterator[Host]:
    """A host with a reconciler and a node on the current release."""
    with running_host("host-1", image, package.parent) as run:
        run("sh deploy/setup.sh install")
        run(f"cat >>/etc/trading-ops/targets.yml <<'END'\n{TARGET}END")
        run("sh deploy/setup.sh install")
        run("systemctl is-active trading-ops-reconciler trading-ops-node")
        yield run


def current(run: Host) -> str:
    return run("readlink /opt/trading-ops/current").strip()


def revision(run: Host) -> str:
    path = "/var/lib/trading-ops/reconciler/reconciler.db"
    code = f"import sqlite3; print(*sqlite3.connect('{path}').execute('SELECT * FROM alembic_version').fetchone())"  # noqa: E501, S608
    return run(f'python3 -c "{code}"').strip()


async def healthy(run: Host) -> None:
    async def all_active() -> bool:
        states = run("systemctl is-active trading-ops-reconciler trading-ops-node || true")
        return states.split() == ["active"] * 2

    await eventually(all_active, within=60)
    run("trading-ops events")


@pytest.mark.parametrize(
    "defects",
    [
        {"trading_ops/app/__main__.py": ENDS_LATER},
        {"trading_ops/app/__main__.py": ENDS},
        {"trading_ops/cli/node.py": ENDS},
    ],
    ids=["the reconciler ends after a while", "the reconciler", "the node"],
)
async def test_the_old_release_returns(host: Host, release: Release, defects: Defects) -> None:
    """With its schema, and what was recorded before is still there."""
    before, spec = current(host), release(defects)
    backups = host("trading-ops backup list --output json").count('"id"')
    with pytest.raises((AssertionError, subprocess.CalledProcessError), match="runs again"):
        host(f"sh deploy/setup.sh upgrade --package '{spec}' 2>&1")
    assert current(host) == before
    assert revision(host) == HEAD
    await healthy(host)
    assert host("trading-ops backup list --output json").count('"id"') > backups
    host("trading-ops audit verify")


async def test_a_rollback_takes_the_schema_back(host: Host, release: Release) -> None:
    before = current(host)
    host(f"sh deploy/setup.sh upgrade --package '{release({})}'")
    assert current(host) != before
    assert revision(host) == NEWER
    await healthy(host)
    host("sh deploy/setup.sh rollback")
    assert current(host) == before
    assert revision(host) == HEAD
    await healthy(host)
