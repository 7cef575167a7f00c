"""Memory that a process keeps after bursts of work in its threads, with `limit_heap` and without.

Each of eight threads in turn allocates and frees 16 MiB of buffers of 2 to 400 KiB, ten times, and
keeps a few small objects, as threads do that read reports, files and answers. Each way runs in a
process of its own. Run with `python -m tests.bench.heap`.
"""

import argparse
import random
import subprocess
import sys
import threading

from tests.bench.say import say
from trading_ops.instrument.heap import limit_heap
from trading_ops.instrument.watchers.memory import read_uss

THREADS = 8
ROUNDS = 10
BURST = 16 * 2**20


def burst(rng: random.Random, kept: list[bytes]) -> None:
    """Allocate buffers, free them, and keep a small one of about every MiB."""
    buffers: list[bytes] = []
    allocated = 0
    while allocated < BURST:
        size = int(2 ** rng.uniform(11, 18.6))
        buffers.append(b"\1" * size)
        allocated += size
        if rng.random() < size / 2**20:
            kept.append(b"\1" * 1000)


def kept_bytes() -> int:
    """Return how much memory this process gained by the bursts."""
    kept: list[bytes] = []
    turns = [threading.Semaphore(0) for _ in range(THREADS)]
    done = threading.Semaphore(0)

    def work(number: int) -> None:
        rng = random.Random(number)
        for _ in range(ROUNDS):
            turns[number].acquire()
            burst(rng, kept)
            done.release()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    before = read_uss() or 0
    for _ in range(ROUNDS):
        for turn in turns:
            turn.release()
            done.acquire()
    after = read_uss() or 0
    for thread in threads:
        thread.join()
    return after - before


def main() -> None:
    """Measure both ways in child processes; with `--way`, measure one in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=["glibc", "limited"])
    way = parser.parse_args().way
    if way is not None:
        if way == "limited":
            limit_heap()
        print(kept_bytes())  # noqa: T201 - the parent process reads it
        return
    kept = {
        each: int(
            subprocess.run(
                [sys.executable, "-m", "tests.bench.heap", "--way", each],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for each in ("glibc", "limited")
    }
    say(f"heap kept after bursts in {THREADS} threads: {kept['glibc'] / 1e6:.1f} MB as glibc does")
    say(f"with limit_heap: {kept['limited'] / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
