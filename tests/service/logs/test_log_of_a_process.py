"""Logs of real processes: many threads, a full disk, kill -9, the supervisor's own file."""

import itertools
import json
import logging
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import structlog

from tests.unit.logs.reading import lines_of
from trading_ops import logs
from trading_ops.config.log_policy import LogPolicy
from trading_ops.errors import SetupError
from trading_ops.logs.file import LogFile
from trading_ops.logs.handler import FileHandler
from trading_ops.logs.rotation import files_aside

pytestmark = pytest.mark.processes

PROGRAM = str(Path(__file__).with_name("writer.py"))


class Writer:
    """The process, and its log as its output, as the supervisor has it."""

    def __init__(self, folder: Path, file_bytes: int = 10_000_000) -> None:
        self.log = folder / "writer.log"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, PROGRAM, str(folder), str(file_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=Path(__file__).parents[3],
                env={"PYTHONPATH": str(Path(__file__).parents[3])},
                text=True,
            )

    def ask(self, command: str) -> tuple[int, int]:
        """Return how many lines were logged, and how many dropped."""
        self.tell(command)
        assert self.process.stdout is not None
        number, dropped = self.process.stdout.readline().split()
        return int(number), int(dropped)

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def numbers(self) -> list[int]:
        """Return the numbers of all whole lines."""
        return [
            entry["n"]
            for line in lines_of(self.log)
            if line.startswith("{") and "n" in (entry := json.loads(line))
        ]

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def logger_of(handler: FileHandler) -> logging.Logger:
    """Return a logger that writes there, and nowhere else."""
    logger = logging.getLogger("tests.logs")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    return logger


@pytest.fixture
def writer(tmp_path: Path) -> "Writer":
    return Writer(tmp_path, 20_000)


def test_the_last_lines_are_there_after_an_ordered_end(writer: Writer) -> None:
    """Many files, no line lost or duplicated, in order; nothing waits when the process ends."""
    writer.ask("log 2000")
    writer.tell("end")
    assert writer.process.wait(60) == 0
    assert writer.numbers() == list(range(2000))
    assert len(files_aside(writer.log.parent)) > 10
    writer.end()


def test_what_others_print_follows_to_the_new_file(writer: Writer) -> None:
    """The supervisor opened the file as the process's output; an old one is never written to."""
    writer.ask("log 500")
    writer.ask("flush")
    writer.ask("stray")
    writer.end()
    assert "a dying interpreter" in writer.log.read_text()
    assert not any("dying" in p.read_text() for p in files_aside(writer.log.parent)[-1:])


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    """Lines wait up to a bound, further ones are counted; with space again, all continues."""
    writer = Writer(tmp_path)
    writer.ask("log 10")
    writer.ask("flush")
    size = writer.log.stat().st_size
    writer.ask(f"limit {size + 100}")  # in the middle of a line
    logged, dropped = writer.ask("log 60000")
    assert logged == 60_010
    assert dropped > 0
    writer.ask("limit")
    writer.ask("flush")
    _, dropped = writer.ask("log 10")
    writer.ask("flush")
    writer.end()
    numbers = writer.numbers()
    assert len(numbers) == 60_020 - dropped
    assert numbers == sorted(set(numbers))
    assert numbers[-10:] == list(range(60_010, 60_020))
    reports = [json.loads(line) for line in lines_of(writer.log) if "log_lines_dropped" in line]
    assert sum(int(report["event"].partition("count=")[2]) for report in reports) == dropped


def test_kill_9_leaves_a_beginning_without_gaps(tmp_path: Path) -> None:
    """At any moment, also in the middle of moving and compressing: each life's lines, no holes."""
    chance = random.Random(5)
    for _ in range(12):
        writer = Writer(tmp_path, 20_000)
        writer.ask("log 1")
        writer.ask("flush")
        writer.tell("log")
        with pytest.raises(subprocess.TimeoutExpired):
            writer.process.wait(chance.uniform(0.02, 0.2))
        writer.end()
    lives: list[list[int]] = []
    broken = 0
    for line in lines_of(writer.log):
        try:
            number = json.loads(line)["n"]
        except (ValueError, KeyError):
            broken += 1
            continue
        if number == 0:
            lives.append([])
        lives[-1].append(number)
    assert len(lives) == 12
    holes = [(a, b) for life in lives for a, b in itertools.pairwise(life) if b != a + 1]
    assert holes == []
    assert broken <= 12


def test_threads_do_not_lose_each_others_lines(tmp_path: Path) -> None:
    """Eight threads, many moves; each thread's lines are whole and in their order."""
    handler = FileHandler(LogFile(tmp_path / "bot.log", LogPolicy(file_bytes=30_000)))
    logger = logger_of(handler)

    def write(name: int) -> None:
        for number in range(500):
            logger.info("%d %d", name, number)

    threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handler.close()
    found: dict[str, list[int]] = {}
    for line in lines_of(tmp_path / "bot.log"):
        name, _, number = line.partition(" ")
        found.setdefault(name, []).append(int(number))
    assert sorted(found) == [str(name) for name in range(8)]
    assert all(numbers == list(range(500)) for numbers in found.values())


def test_a_record_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Its arguments are not reported: they may be secret; anyone who logged is not hurt."""
    handler = FileHandler(LogFile(tmp_path / "bot.log", LogPolicy()))
    logger = logger_of(handler)
    logger.info("%d", "hunter2")
    logger.info("next")
    handler.close()
    first, second = lines_of(tmp_path / "bot.log")
    assert json.loads(first)["event"] == "log_record_unwritable"
    assert ("hunter2" in first, second) == (False, "next")


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """One sentence that names the path and the setting."""
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SetupError, match=r"taken/bot.log.*Fix: .*TRADING_OPS_LOG_DIR"):
        logs.configure("bot", policy=LogPolicy(folder=tmp_path / "taken"))


def test_lines_carry_the_ids_of_their_work(tmp_path: Path) -> None:
    """Bound ids are in each line of a block, whichever library writes it, and in none after."""
    root = logging.getLogger()
    before = root.handlers[:]
    try:
        logs.configure("bot-alpha", policy=LogPolicy(folder=tmp_path), bot="alpha")
        with logs.bound(order="alpha-1"):
            logging.getLogger("ccxt").warning("slow")
        logging.getLogger("ccxt").warning("well")
        logs.flush()
        first, second = map(json.loads, lines_of(tmp_path / "bot-alpha.log"))
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = before
        structlog.reset_defaults()
    assert (first["order"], first["bot"], first["process"]) == ("alpha-1", "alpha", "bot-alpha")
    assert "order" not in second
