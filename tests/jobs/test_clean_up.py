"""Clean-up removes what is left behind and nothing else, whatever the folder's layout."""

import asyncio
import contextlib
import gzip
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from io import FileIO
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from tests.jobs.conftest import Start
from trading_ops import clock
from trading_ops.backup.running import only_one
from trading_ops.cleanup import inside
from trading_ops.cleanup.carry_out import carry_out
from trading_ops.cleanup.rules import OVER, CleanupReason, leftovers
from trading_ops.cli.clean_up import clean_up
from trading_ops.config.settings import Settings
from trading_ops.domain.job import JobOutcome
from trading_ops.jobs.job import Context, load
from trading_ops.jobs.schedule import Cron

STAMP = "20260301T000000.000000"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A project that needs no clean-up, with something in each folder."""
    root = tmp_path / "project"
    for name in (
        "var/reconciler/reconciler.db",
        "var/bot-alpha/bot.db",
        "var/bot-alpha/bot.db-wal",
        "var/bot-alpha/.hidden",
        "var/bot-alpha/.model.4711",
        "var/prometheus/data/wal/.0001.new",
        "var/secrets/.token.new",
        "var/backup/postgresql/wal/0001",
        "var/backup/records/1",
        "var/log/bot.log",
        "var/log/notes.gz.part",
        "backups/objects/aa/new-1",
        "restored-1/var/a",
        ".git.partial",
    ):
        put(root / name)
    return Settings(root=root, var=root / "var")


def put(path: Path, size: int = 5000, *, days: float = 40) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    age(path, days)
    return path


def age(path: Path, days: float = 40) -> None:
    """Let it be so old, with everything in it."""
    then = clock.timestamp() - days * 86_400
    for inner in (path, *path.rglob("*")):
        os.utime(inner, (then, then), follow_symlinks=False)


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def make_leftovers(settings: Settings) -> set[str]:
    """Create one of each kind; return what must be gone, relative to the project."""
    root = settings.root
    put(root / "var/reconciler/.journal.new")
    put(root / "var/prometheus/.prometheus.yml.4711.new")
    put(root / f"var/log/bot.log.{STAMP}.gz.part")
    put(root / f"var/log/gone.log.{STAMP}.gz")
    put(root / "var/backup/create/reconciler.db", 50_000)
    put(root / ".restored-2.partial/var/a")
    put(root / "var/backup/restic-cache/a/b")
    for number in range(5):
        put(root / f"var/versions/{number}/.a.new")
    for folder in ("var/backup/create", ".restored-2.partial", "var/backup/restic-cache"):
        age(root / folder)
    return {
        "var/reconciler/.journal.new",
        "var/prometheus/.prometheus.yml.4711.new",
        f"var/log/bot.log.{STAMP}.gz.part",
        f"var/log/gone.log.{STAMP}.gz",
        "var/backup/create",
        "var/backup/create/reconciler.db",
        *(".restored-2.partial", ".restored-2.partial/var", ".restored-2.partial/var/a"),
        *(f"var/backup/restic-cache{suffix}" for suffix in ("", "/a", "/a/b")),
    }


def test_only_what_is_left_behind_is_removed(settings: Settings) -> None:
    """Releases stay: a link may lead to any of them. Then nothing is left to do."""
    assert leftovers(settings) == []
    expected = make_leftovers(settings)
    before = everything(settings.root)
    done = carry_out(settings, leftovers(settings))
    assert done.failures == []
    assert before - everything(settings.root) == expected
    assert done.bytes >= 50_000
    assert leftovers(settings) == []


def test_what_is_new_may_be_in_use(settings: Settings) -> None:
    put(settings.var / "reconciler/.journal.new", days=0)
    put(settings.var / "backup/verify/reconciler.db", days=0)
    put(settings.var / f"log/bot.log.{STAMP}.gz", days=0)
    assert leftovers(settings) == []


def test_links_are_neither_followed_nor_removed(settings: Settings, tmp_path: Path) -> None:
    """Wherever one stands: as a folder on the way, as a log, as the scratch."""
    precious = put(tmp_path / "precious/.a.new").parent
    put(precious / f"bot.log.{STAMP}.gz")
    age(precious)
    for name in ("var/reconciler/link", "var/versions", "var/backup/create", ".var.restoring"):
        (settings.root / name).symlink_to(precious)
    shutil.rmtree(settings.logs)
    settings.logs.symlink_to(precious)
    (settings.var / "reconciler/.file.new").symlink_to(precious / ".a.new")
    before = everything(tmp_path)
    assert leftovers(settings) == []
    assert not carry_out(settings, leftovers(settings)).failures
    assert everything(tmp_path) - before <= {"project/var/backup/lock"}


def test_a_link_put_in_the_way_after_the_look_is_not_followed(
    settings: Settings, tmp_path: Path
) -> None:
    """The folder on the way is swapped, and another file has the name of one that was found."""
    precious = put(tmp_path / "precious/.journal.new").parent
    put(settings.var / "reconciler/.journal.new")
    put(settings.var / "bot-alpha/.a.new")
    found = leftovers(settings)
    (settings.var / "reconciler").rename(settings.var / "aside")
    (settings.var / "reconciler").symlink_to(precious)
    put(settings.var / "bot-alpha/b").rename(settings.var / "bot-alpha/.a.new")
    done = carry_out(settings, found)
    assert len(done.failures) == 2
    assert (precious / ".journal.new").exists()
    assert (settings.var / "bot-alpha/.a.new").exists()


def test_a_path_that_leaves_the_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(inside.Changed), inside.opened(tmp_path, Path("../..")):
        pass


def test_a_hard_link_frees_nothing(settings: Settings) -> None:
    journal = put(settings.var / "reconciler/.journal.new")
    os.link(journal, settings.var / "reconciler/other")
    assert [found.found.bytes for found in leftovers(settings)] == [0]


def test_a_running_backup_keeps_its_folder(settings: Settings) -> None:
    make_leftovers(settings)
    with only_one(settings):
        done = carry_out(settings, leftovers(settings))
    assert "a backup command is running" in str(done)
    assert (settings.var / "backup/create").exists()
    assert not (settings.var / "reconciler/.journal.new").exists()


def test_a_log_without_rotation_is_compressed_and_emptied(settings: Settings) -> None:
    """Its process keeps appending; a log that only its own process rotates late is left alone."""
    settings = msgspec.structs.replace(settings, log_file_megabytes=0.1)
    log, other = settings.logs / "prometheus.log", put(settings.logs / "bot.log", 150_000)
    lines = b"".join(b"line %d\n" % number for number in range(50_000))
    log.write_bytes(lines)
    with log.open("ab", buffering=0) as writer:
        (found,) = leftovers(settings)
        assert found.kind is CleanupReason.LARGE_LOG
        assert not carry_out(settings, [found]).failures
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    (packed,) = settings.logs.glob("prometheus.log.*.gz")
    assert gzip.decompress(packed.read_bytes()) == lines
    assert other.stat().st_size == 150_000


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "none", str(place)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(writer: FileIO) -> None:
    """Write what cannot be compressed until the disk is full."""
    block = os.urandom(100_000)
    with contextlib.suppress(OSError):
        while writer.write(block):
            pass


def test_a_full_disk_is_freed(full_disk: Path) -> None:
    """Also when there is no room to compress the log that filled it."""
    settings = Settings(root=full_disk, var=full_disk / "var")
    put(settings.var / "reconciler/.journal.new", 10)
    log = settings.logs / "prometheus.log"
    log.parent.mkdir()
    with log.open("wb", buffering=0) as writer:
        fill(writer)
    done = carry_out(settings, leftovers(settings))
    assert done.failures == []
    assert log.stat().st_size == 0
    assert shutil.disk_usage(full_disk).free > 25_000_000
    assert everything(settings.logs) == {"prometheus.log"}


async def test_the_job_lists_and_removes(start: Start, settings: Settings) -> None:
    expected = make_leftovers(settings)
    job = load("clean_up")
    async with start() as replica:
        context = Context(
            settings=settings,
            writer=replica.scheduler.writer,
            reader=replica.scheduler.reader,
            schedule=Cron(expression="0 0 * * *"),
            timeout=timedelta(minutes=5),
        )
        steps = (await job.plan(context)).steps
        assert {step.what.removeprefix(f"remove {settings.root}/") for step in steps} < expected
        assert expected < everything(settings.root)
        done = await job.run(context)
        assert (done.outcome, "unused cache: 1" in done.detail) == (JobOutcome.DONE, True)
        assert (await job.run(context)).outcome is JobOutcome.NOTHING_TO_DO


async def test_a_run_that_is_cut_off_removes_nothing_more(
    start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread ends with the file that it is at."""
    make_leftovers(settings)
    removed, go_on, reached = list[Path](), threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def remove(found: inside.FoundFile) -> None:
        removed.append(found.path)
        loop.call_soon_threadsafe(reached.set)
        assert go_on.wait(60)

    monkeypatch.setattr(inside, "remove", remove)
    async with start() as replica:
        context = Context(
            settings=settings,
            writer=replica.scheduler.writer,
            reader=replica.scheduler.reader,
            schedule=Cron(expression="0 0 * * *"),
            timeout=timedelta(minutes=5),
        )
        run = asyncio.create_task(load("clean_up").run(context))
        await reached.wait()
        run.cancel()
        await asyncio.wait({run})
        go_on.set()
    await loop.shutdown_default_executor()
    assert run.cancelled()
    assert len(removed) == 1


def test_a_large_log_that_is_being_packed_is_left_whole(settings: Settings) -> None:
    """Stopped in the middle, it leaves neither half an archive nor an empty log."""
    log = settings.logs / "prometheus.log"
    put(log, int(settings.log_policy.file_bytes * OVER + 1))
    (found,) = (
        leftover for leftover in leftovers(settings) if leftover.kind is CleanupReason.LARGE_LOG
    )
    before = everything(settings.logs)

    class SetLater(threading.Event):
        """Is found set at the second look."""

        looks = 0

        def is_set(self) -> bool:
            self.looks += 1
            return self.looks > 1

    done = carry_out(settings, [found], SetLater())
    assert (done.failures, done.counts.total()) == ([], 0)
    assert everything(settings.logs) == before
    assert log.stat().st_size > 0


def test_the_command_needs_no_reconciler(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_leftovers(settings)
    monkeypatch.setenv("TRADING_OPS_ROOT", str(settings.root))
    before = everything(settings.root)
    listed = CliRunner().invoke(clean_up, ["--dry-run", "--output", "json"])
    found = msgspec.json.decode(listed.output)
    assert found["bytes"] == sum(leftover["bytes"] for leftover in found["found"]) > 50_000
    assert everything(settings.root) == before
    done = CliRunner().invoke(clean_up)
    assert (done.exit_code, "freed" in done.output) == (0, True)
    assert "0 files and folders" in CliRunner().invoke(clean_up, ["--dry-run"]).output
