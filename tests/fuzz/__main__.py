"""`python -m tests.fuzz`: hundreds of thousands of bodies; no crash, no 5xx but 503, nothing lost.

Mutated and searched bodies go through the parser, a share of them over HTTP through a running
reconciler; schemathesis asks everything that the OpenAPI document describes. The exit code is 1
when anything was found.
"""

import argparse
import asyncio
import importlib.util
import random
import subprocess
import sys
import time
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings

from tests.bench.say import say
from tests.fuzz import over_http, parsing, schema
from tests.fuzz.parsing import Crash
from tests.fuzz.payloads import BODIES, payload
from trading_ops import logs

SHARES = {"mutated": 0.55, "hypothesis": 0.1, "atheris": 0.3, "over HTTP": 0.05}


def mutated(count: int, seed: int) -> list[str]:
    """Bodies gone wrong by chance."""
    found = []
    readable = 0
    for number in range(count):
        body = payload(random.Random(seed * 1_000_003 + number))
        try:
            readable += parsing.check(body)
        except Crash as error:
            found.append(f"{error}: {body[:200]!r}")
    if not 0.02 * count < readable < 0.98 * count:
        found.append(f"only one sort of body: {readable} of {count} could be read")
    return found


def searched(count: int, seed: int) -> list[str]:
    """Bodies that hypothesis comes upon, made as small as possible when one is found."""
    del seed

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(body=BODIES)
    def every_body_is_read_or_refused(body: bytes) -> None:
        parsing.check(body)

    try:
        every_body_is_read_or_refused()
    except Crash as error:
        return [str(error)]
    return []


def guided(count: int, seed: int) -> list[str]:
    """Bodies that atheris is led to."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", str(count), str(seed % (1 << 31) + 1)],
        capture_output=True,
        text=True,
        check=False,
    )
    return [] if done.returncode == 0 else [done.stderr[-1500:]]


def over_http_(count: int, seed: int) -> list[str]:
    """Bodies through a running reconciler."""
    return asyncio.run(over_http.run(count, seed))


def part(name: str, count: int, work: Callable[[int, int], list[str]], seed: int) -> list[str]:
    """Run one part; print its line; return what it found."""
    began = time.monotonic()
    found = work(count, seed)
    say(f"{name:<14} {count:>8} {time.monotonic() - began:>7.0f} s  found: {len(found)}")
    for sentence in found[:5]:
        say(f"    {sentence}")
    return found


def main(given: argparse.Namespace) -> int:
    """Run all parts; 1 when one found something."""
    logs.configure("fuzz", level="CRITICAL")
    say(f"seed {given.seed}")
    shares = dict(SHARES)
    if importlib.util.find_spec("atheris") is None:
        say("atheris is not installed: its share is mutated instead (make fuzz installs it)")
        shares["mutated"] += shares.pop("atheris")
    works = {
        "mutated": mutated,
        "hypothesis": searched,
        "atheris": guided,
        "over HTTP": over_http_,
    }
    found = []
    for name, share in shares.items():
        found += part(name, round(given.payloads * share), works[name], given.seed)
    if given.api:
        if importlib.util.find_spec("schemathesis") is None:
            say("schemathesis is not installed: the API was not asked (make fuzz installs it)")
        else:
            found += part("schemathesis", given.examples, schema.run, given.seed)
    say(f"{given.payloads} payloads, found: {len(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--payloads", type=int, default=200_000)
    parser.add_argument("--examples", type=int, default=100, help="an operation of the API")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 20))
    parser.add_argument("--no-api", dest="api", action="store_false")
    sys.exit(main(parser.parse_args()))
