"""A bot on another host dies in each way that a process can; its node dies too."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.images import missing_tools
from tests.hosts.site import UNIT, Site, running_site

WHY_NOT = missing_tools(compose=False)
pytestmark = [pytest.mark.hosts, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


@pytest.fixture(scope="module")
def site(image: str, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts."""
    yield from running_site(image, package.parent, tmp_path_factory.mktemp("hosts"))


@pytest.fixture(autouse=True)
async def _ready(site: Site) -> None:
    await site.calm()


async def test_a_killed_bot(site: Site) -> None:
    """The timeline has the end of the journal of this run, which the node reads as its own user."""
    said = f"said before the end {uuid.uuid4().hex}"
    speak = f"systemd-cat -t bot echo {said}"  # another unit: not in the timeline
    pid = site.unit("MainPID")
    timeline = await site.recovered("killed", lambda: site.b(f"{speak}; kill -9 {pid}"))
    assert "code=killed, status=9/KILL" in " ".join(timeline.split())
    assert said not in timeline


async def test_a_frozen_bot(site: Site) -> None:
    """Alive and mute: this run is stopped, so that it cannot trade on, and a new one is started."""
    frozen = site.unit("MainPID")
    await site.recovered("frozen", lambda: site.b(f"kill -STOP {frozen}"))
    assert site.unit("MainPID") != frozen


async def test_a_bot_that_runs_out_of_memory(site: Site) -> None:
    timeline = await site.recovered("OOM", lambda: site.b(f"kill -USR1 {site.unit('MainPID')}"))
    # With cgroup v1, systemd does not learn that the kernel killed it for lack of memory.
    v2 = site.b("stat --file-system --format %T /sys/fs/cgroup").strip() == "cgroup2fs"
    assert ("(oom-kill, exit status 9)" if v2 else "(signal, exit status 9)") in " ".join(
        timeline.split()
    )


async def test_a_unit_that_hit_its_start_limit(site: Site) -> None:
    """systemd refuses to start it; the node resets that once."""

    def exhaust() -> None:
        restart = f"systemctl restart {UNIT}"
        site.b(f"for _ in 1 2 3 4 5 6 7; do {restart} || break; done; ! {restart}")
        assert site.unit("ActiveState") == "failed"

    before = site.starts()
    exhaust()
    limited = site.starts()
    assert limited > before
    await site.recovered("start-limit-hit", lambda: None)


async def test_a_node_that_dies_with_its_bot(site: Site) -> None:
    """The outcome is unknown at first; the bot is started once."""
    both = f"systemctl kill -s KILL trading-ops-node; kill -9 {site.unit('MainPID')}"
    await site.recovered("node and bot killed", lambda: site.b(both))
