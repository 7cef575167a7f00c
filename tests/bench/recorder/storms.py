"""Ten million events from threads, and from coroutines: how many are lost."""

import sys
import time

from tests.bench.say import say
from tests.unit.instrument.storm import KINDS, LossyCounter, Storm, WaitingCounter

STORM = 10_000_000
LOSSY_STORM = 1_000_000


def storms() -> None:
    """Print how many of ten million events were lost, and that a lossy recorder is found."""
    say(f"storms: events lost of {STORM:,} (goal 0), and of {LOSSY_STORM:,} by planted recorders")
    failed = False
    for kind, run in KINDS.items():
        began = time.perf_counter()
        storm = Storm()
        lost = run(storm, STORM)
        took = time.perf_counter() - began
        careless = run(Storm(LossyCounter()), LOSSY_STORM)
        waiting = run(Storm(WaitingCounter()), LOSSY_STORM // 10)
        verdict = "met" if lost == 0 else "MISSED"
        found = "found" if waiting else "NOT FOUND"
        faults = storm.watch.faults
        say(
            f"  {kind:<12} {lost} lost in {took:.0f} s: goal 0 {verdict};"
            f" {storm.watch.scrapes} scrapes meanwhile, {len(faults)} faults in them"
        )
        say(
            f"  {'':<12} planted: {careless} by one that calls in between, {waiting} by one that"
            f" waits in between: {found}"
        )
        failed = failed or lost > 0 or waiting == 0 or bool(faults)
    if failed:
        sys.exit("events were lost, a scrape was torn, or a lossy recorder was not found")
