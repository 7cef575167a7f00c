"""The reconciler takes backups when they are due, and shows what is known of them."""

import asyncio
import contextlib
import os
import select
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from tests.backup.installation import KEY, Installation
from tests.waiting import eventually
from trading_ops import clock
from trading_ops.backup import disk, prune
from trading_ops.backup.due import FIRST, due
from trading_ops.backup.metrics import BackupMetrics
from trading_ops.backup.records import BackupRecords, BackupRun, Record
from trading_ops.backup.restic import ResticRepository
from trading_ops.backup.running import READING, TAKING, Busy, only_one
from trading_ops.backup.scheduled import Backups
from trading_ops.cli.main import run
from trading_ops.domain.backup import Operation
from trading_ops.store import audit_chain, backups
from trading_ops.store.engine import reading_engine, writing_engine
from trading_ops.store.reader import Reader
from trading_ops.store.writer import Writer
from trading_ops.tasks import Tasks

pytestmark = pytest.mark.processes

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTES = timedelta(minutes=1)
DAYS = timedelta(days=1)
INTERVAL = 5 * MINUTES
CREATE, VERIFY = Operation.CREATE, Operation.VERIFY
RESTORE_TEST, PRUNE = Operation.RESTORE_TEST, Operation.PRUNE


def ran(ago: timedelta, *, succeeded: bool = True) -> BackupRun:
    return BackupRun(at=NOON - ago, succeeded=succeeded)


PROVEN = {RESTORE_TEST: ran(MINUTES), PRUNE: ran(MINUTES), VERIFY: ran(MINUTES)}
TABLE: list[tuple[str, dict[Operation, BackupRun], timedelta, Operation | None]] = [
    ("a new installation just started", {}, FIRST / 2, None),
    ("a new installation a minute later", {}, FIRST, CREATE),
    ("the interval is not over", {CREATE: ran(4 * MINUTES)} | PROVEN, DAYS, None),
    ("the interval is over", {CREATE: ran(INTERVAL)} | PROVEN, DAYS, CREATE),
    ("after a restart", {CREATE: ran(INTERVAL)} | PROVEN, timedelta(), CREATE),
    ("a failure is tried again", {CREATE: ran(INTERVAL, succeeded=False)}, DAYS, CREATE),
    (
        "a failure is not tried at once",
        {CREATE: ran(MINUTES, succeeded=False)} | PROVEN,
        DAYS,
        None,
    ),
    (
        "the disk is full: expired backups are removed",
        {CREATE: ran(MINUTES, succeeded=False)} | PROVEN | {PRUNE: ran(60 * MINUTES)},
        DAYS,
        PRUNE,
    ),
    (
        "the disk is full: not removed at each look",
        {CREATE: ran(MINUTES, succeeded=False)} | PROVEN,
        DAYS,
        None,
    ),
    (
        "no backup can be taken: the last one is still proven",
        {CREATE: ran(MINUTES, succeeded=False)} | PROVEN | {RESTORE_TEST: ran(DAYS)},
        DAYS,
        RESTORE_TEST,
    ),
    ("the first backup is proven at once", {CREATE: ran(MINUTES)}, DAYS, RESTORE_TEST),
    (
        "a restore test each day",
        {CREATE: ran(MINUTES)} | PROVEN | {RESTORE_TEST: ran(DAYS)},
        DAYS,
        RESTORE_TEST,
    ),
    (
        "a failed restore test is tried again",
        {CREATE: ran(MINUTES)} | PROVEN | {RESTORE_TEST: ran(INTERVAL, succeeded=False)},
        DAYS,
        RESTORE_TEST,
    ),
    ("pruning each day", {CREATE: ran(MINUTES)} | PROVEN | {PRUNE: ran(DAYS)}, DAYS, PRUNE),
    ("a clock that was set back", {CREATE: ran(-DAYS)} | PROVEN, DAYS, CREATE),
]


@pytest.mark.parametrize(("why", "runs", "up", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_what_is_due(
    why: str, runs: dict[Operation, BackupRun], up: timedelta, expected: Operation | None
) -> None:
    def operation(interval: timedelta, checked: datetime | None = NOON) -> Operation | None:
        found = due(runs, interval=interval, began=NOON - up, now=NOON, checked=checked)
        return found[0] if found else None

    assert operation(INTERVAL) is expected, why
    assert operation(timedelta()) is None
    # Nothing else can succeed before the first backup.
    first = CREATE if expected is CREATE else None
    assert operation(INTERVAL, None) is first


@pytest.mark.parametrize(
    ("last", "checked", "expected"),
    [
        (None, 6 * DAYS, False),
        (None, 7 * DAYS, True),
        (ran(MINUTES), 7 * DAYS, False),
        (ran(INTERVAL), 7 * DAYS, True),
        (ran(INTERVAL), -DAYS, True),
        (ran(INTERVAL, succeeded=False), 6 * DAYS, True),
        (BackupRun(at=NOON - INTERVAL, succeeded=False, retry=False), 7 * DAYS, False),
        (BackupRun(at=NOON - 60 * MINUTES, succeeded=False, retry=False), 6 * DAYS, True),
    ],
)
def test_each_backup_is_verified_each_week(
    last: BackupRun | None, checked: timedelta, *, expected: bool
) -> None:
    """One at a time; a damaged one is not read again at once."""
    runs = {CREATE: ran(MINUTES)} | PROVEN
    if last is None:
        del runs[VERIFY]
    else:
        runs[VERIFY] = last
    found = due(runs, interval=INTERVAL, began=NOON - DAYS, now=NOON, checked=NOON - checked)
    assert found == ([VERIFY] if expected else [])


def test_the_one_that_was_verified_longest_ago_is_next(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In turn, also past a damaged one; a manifest that cannot be read fails the run."""
    monkeypatch.chdir(installation.root)
    for _ in range(3):
        installation.write_events(1)
        installation.back_up()
    ids = [manifest.id for manifest in installation.manifests()]
    records = BackupRecords(installation.settings.backup_records)

    def verified() -> list[str]:
        known = records.all()
        return sorted(
            (key for key in known if known[key].checked_at),
            key=lambda key: str(known[key].checked_at),
        )

    folder = installation.root / "backups"
    first = {entry.sha256 for entry in installation.manifests()[0].entries}
    others = {entry.sha256 for made in installation.manifests()[1:] for entry in made.entries}
    (folder / "objects" / (own := min(first - others))[:2] / own).unlink()
    assert run(["backup", "verify", "--next"]) == 1
    assert not records.runs()[VERIFY].succeeded
    assert not records.runs()[VERIFY].retry
    assert run(["backup", "verify", "--next"]) == 0
    assert records.runs()[VERIFY].succeeded
    assert run(["backup", "verify", "--next"]) == 0
    assert verified() == ids
    (folder / "manifests" / ids[2]).write_text("damaged")
    assert run(["backup", "verify", "--next"]) == 1
    assert ids[2] in records.runs()[VERIFY].detail


def test_a_backup_is_taken_during_a_restore_test(installation: Installation) -> None:
    """However long that takes; prune removes nothing meanwhile."""
    settings = installation.settings
    with only_one(settings, READING):
        installation.back_up()
        (manifest,) = installation.manifests()
        for other in (
            lambda: installation.restore_test(manifest),
            lambda: prune.prune(settings, installation.repository),
        ):
            with pytest.raises(Busy):
                other()
    with only_one(settings, TAKING), pytest.raises(Busy):
        installation.back_up()


async def test_the_reconciler_starts_what_may_run_together(installation: Installation) -> None:
    watching = Backups(
        settings=installation.settings,
        writer=Writer(writing_engine(installation.settings.database_url)),
        metrics=BackupMetrics(CollectorRegistry()),
    )
    assert watching.start(RESTORE_TEST)
    assert watching.start(CREATE)
    assert not [other for other in Operation if watching.start(other)]
    await asyncio.wait(watching._running.values())
    assert watching.start(PRUNE)
    assert not [other for other in Operation if watching.start(other)]
    await asyncio.wait(watching._running.values())


def test_the_interval_is_that_of_the_settings(installation: Installation) -> None:
    """With PostgreSQL too."""

    def interval(**over: object) -> float:
        made = Backups(
            settings=replace(installation.settings, **over),
            writer=Writer(writing_engine(installation.settings.database_url)),
            metrics=BackupMetrics(CollectorRegistry()),
        )
        return made.interval.total_seconds()

    assert interval() == 300
    assert interval(backup_interval_seconds=0.0) == 0
    assert interval(database="postgresql://ops@db/ops") == 300


async def test_a_backup_is_taken_stored_shown_and_audited(installation: Installation) -> None:
    """By the real commands in processes of their own: taken, restore-tested, pruned, compared."""
    url = installation.settings.database_url
    writer, reader = Writer(writing_engine(url), KEY), Reader(reading_engine(url))
    registry = CollectorRegistry()
    records = BackupRecords(installation.settings.backup_records)
    # A failure long ago: due at once, whenever this process began.
    records.ran(CREATE, BackupRun(at=clock.now() - DAYS, succeeded=False, detail="disk full"))
    watching = Backups(
        settings=installation.settings,
        writer=writer,
        metrics=BackupMetrics(registry),
        look_seconds=0.05,
    )
    writer.start()
    try:
        async with Tasks(on_success=lambda _name, _at: None).running("backups", watching.run):

            async def proven() -> bool:
                stored = await reader.read(backups.read)
                return bool(stored) and stored[0].restore_tested_at is not None

            await eventually(proven, within=120, what="the backup to be restore-tested")

            async def all_ran() -> bool:
                return set(records.runs()) == set(Operation) - {VERIFY}  # due in a week

            await eventually(all_ran, within=120, what="every command to have run")
            (stored,) = await reader.read(backups.read)
            assert stored.problem == ""
            assert stored.restore_milliseconds

            async def event_kinds() -> set[str]:
                found = await reader.read(
                    lambda connection: audit_chain.links(connection, after=0, limit=1000)
                )
                return {link.kind for link in found}

            assert {"backup_taken", "backup_restore_tested"} <= await event_kinds()

            def figure(name: str, **labels: str) -> float:
                value = registry.get_sample_value(name, labels)
                assert value is not None
                return value

            async def shown() -> bool:
                return not any(
                    figure("trading_ops_backup_failed", operation=operation.value)
                    for operation in Operation
                )

            await eventually(shown)
            assert figure("trading_ops_backup_size_bytes") == stored.bytes
            assert figure("trading_ops_backup_restore_duration_seconds") > 0
            free = figure("trading_ops_backup_repository_free_bytes")
            assert 0 < free < figure("trading_ops_backup_repository_capacity_bytes")
            assert figure("trading_ops_backup_untested_since_timestamp_seconds") == 0
            for name in ("last_success", "recoverable_to", "last_verified", "last_restore_test"):
                assert figure(f"trading_ops_backup_{name}_timestamp_seconds") > 0
            records.forget(stored.id)

            async def gone() -> bool:
                return "backup_removed" in await event_kinds()

            await eventually(gone)
    finally:
        writer.stop()
        reader.close()


def oom_score() -> int:
    return int(Path("/proc/self/oom_score_adj").read_text())


@pytest.mark.parametrize(
    "recordable", [True, False], ids=["recorded", "the records are unwritable"]
)
async def test_a_command_that_fails_before_it_begins_is_a_failed_run(
    installation: Installation, *, recordable: bool
) -> None:
    """It is shown, and is not started again at each look: here the repository needs a password."""
    settings = installation.settings
    (installation.root / "settings.yml").write_text("backup_repository: restic:/srv/none\n")
    if not recordable:
        settings.backup_work.mkdir()
        settings.backup_records.write_text("not a folder")
    registry, writer = CollectorRegistry(), Writer(writing_engine(settings.database_url), KEY)
    watching = Backups(
        settings=settings, writer=writer, metrics=BackupMetrics(registry), look_seconds=0.05
    )
    watching._began -= DAYS
    looks = 0

    def looked() -> None:
        nonlocal looks
        looks += 1

    def failed() -> bool:
        name, labels = "trading_ops_backup_failed", {"operation": CREATE.value}
        return registry.get_sample_value(name, labels) == 1

    writer.start()
    task = asyncio.create_task(watching.run(looked))
    try:
        await eventually(failed, within=60, what="the failure to be shown")
        command, before = watching._running[CREATE], looks
        await eventually(lambda: looks > before + 3)
        assert watching._running[CREATE] is command
    finally:
        task.cancel()
        await asyncio.wait({task})
        writer.stop()
    if recordable:
        run = BackupRecords(settings.backup_records).runs()[CREATE]
        assert not run.succeeded
        assert "restic" in run.detail


async def test_what_a_command_starts_is_killed_for_memory_before_the_reconciler(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for restic writes down its score."""
    settings = installation.settings
    (installation.root / "settings.yml").write_text("backup_repository: restic:/srv/none\n")
    settings.backup_password.write_text("correct horse")
    programs, score = tmp_path / "bin", tmp_path / "score"
    programs.mkdir()
    (programs / "restic").write_text(f"#!/bin/sh\ncat /proc/self/oom_score_adj >{score}\nexit 1\n")
    (programs / "restic").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    watching = Backups(
        settings=settings,
        writer=Writer(writing_engine(settings.database_url)),
        metrics=BackupMetrics(CollectorRegistry()),
    )
    assert watching.start(CREATE)
    await watching._running[CREATE]
    assert int(score.read_text()) > oom_score()


def test_a_bucket_has_no_known_space(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TradingOpsBackupTargetFull is about repositories on this host and on SFTP servers only."""
    password = tmp_path / "password"
    password.write_text("correct horse")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "restic").write_text("#!/bin/sh\n")
    (programs / "restic").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")

    def restic(location: str) -> disk.Space | None:
        return ResticRepository(location, password, work=tmp_path).space()

    assert restic("s3:s3.example/bucket") is None
    local, folder = restic(str(tmp_path / "not-made-yet")), installation.repository.space()
    assert local is not None
    assert folder is not None
    assert local.total == disk.space(tmp_path).total
    assert 0 < folder.free < folder.total


def test_untested_and_failed_are_shown() -> None:
    """What TradingOpsBackupNotVerified and TradingOpsBackupFailed stand on."""
    registry = CollectorRegistry()
    metrics = BackupMetrics(registry)

    def record(hour: int, *, tested: bool = False, problem: str = "") -> Record:
        at = NOON.replace(hour=hour)
        return Record(
            id=f"{hour}",
            created_at=at,
            recoverable_to=at,
            location="",
            bytes=1,
            files=1,
            release="1",
            restore_tested_at=at if tested else None,
            restore_seconds=1.5 if tested else None,
            problem=problem,
        )

    def since(*known: Record) -> float | None:
        runs = {CREATE: BackupRun(at=NOON, succeeded=False)}
        metrics.show(INTERVAL, {record.id: record for record in known}, runs)
        name = "trading_ops_backup_untested_since_timestamp_seconds"
        return registry.get_sample_value(name)

    first, second = NOON.replace(hour=1).timestamp(), NOON.replace(hour=2).timestamp()
    assert since() == 0
    assert since(record(1)) == first
    assert since(record(1, tested=True)) == 0
    assert since(record(1, tested=True), record(2), record(3)) == second
    assert since(record(1, tested=True, problem="damaged"), record(2)) == first
    name = "trading_ops_backup_failed"
    assert registry.get_sample_value(name, {"operation": "create"}) == 1
    assert registry.get_sample_value(name, {"operation": "prune"}) == 0


KILLED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # also if the tests ignore it
from trading_ops.backup.restic import ResticRepository
from pathlib import Path
ResticRepository("/srv/none", Path(sys.argv[1]), work=Path(sys.argv[2])).listing()
"""


async def test_restic_ends_with_a_killed_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An orphan would read the folder that the next backup empties, and store it half."""
    programs, fifo, password = tmp_path / "bin", tmp_path / "fifo", tmp_path / "password"
    password.write_text("correct horse")
    programs.mkdir()
    (programs / "restic").write_text(f"#!/bin/sh\necho $$ >{fifo}\nexec sleep 600\n")
    (programs / "restic").chmod(0o755)
    os.mkfifo(fifo)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(password), str(tmp_path)
    )
    restic = os.pidfd_open(int(await asyncio.to_thread(fifo.read_text)))
    try:
        command.kill()
        await command.wait()
        await eventually(lambda: select.select([restic], [], [], 0)[0], what="restic to end")
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(restic, signal.SIGKILL)
        os.close(restic)


def test_the_lock_of_a_dead_restic_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After SIGKILL or a power cut during `prune`, nothing could be stored or restored."""
    programs, unlocked, password = tmp_path / "bin", tmp_path / "unlocked", tmp_path / "password"
    password.write_text("correct horse")
    programs.mkdir()
    (programs / "restic").write_text(f"""#!/bin/sh
case "$*" in *unlock*) exec touch {unlocked};; esac
[ -e {unlocked} ] && exec echo '[]'
echo 'unable to create lock in backend: repository is already locked exclusively by PID 7' >&2
exit 1
""")
    (programs / "restic").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    repository = ResticRepository("/srv/none", password, work=tmp_path)
    assert not repository.listing().manifests
    assert unlocked.exists()
