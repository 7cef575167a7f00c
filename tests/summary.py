"""One summary line for several runs of pytest: `python -m tests.summary OUTPUT…`.

Continuous integration reads the last line of what it runs, and its exit code. Each file holds the
output of one run.
"""

import re
import sys
from collections import Counter
from pathlib import Path

SUMMARY = re.compile(
    r"^=* ?(?P<counts>\d+ [a-z]+(, \d+ [a-z]+)*) in (?P<seconds>[\d.]+)s( \([\d:]+\))? ?=*$"
)
ORDER = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warnings", "errors")


def summed_up(outputs: list[str]) -> str:
    """Return the sum of the last summary line of each; an output without one is an error."""
    counts: Counter[str] = Counter()
    seconds = 0.0
    for output in outputs:
        found = [line for line in map(SUMMARY.match, output.splitlines()) if line]
        if not found:
            counts["errors"] += 1
            continue
        seconds += float(found[-1]["seconds"])
        for count in found[-1]["counts"].split(", "):
            number, kind = count.split()
            counts[{"warning": "warnings", "error": "errors"}.get(kind, kind)] += int(number)
    parts = [f"{counts[kind]} {_named(kind, counts[kind])}" for kind in ORDER if counts[kind]]
    return f"{', '.join(parts)} in {seconds:.2f}s"


def _named(kind: str, number: int) -> str:
    return kind.removesuffix("s") if number == 1 else kind


if __name__ == "__main__":
    print(summed_up([Path(name).read_text(encoding="utf-8") for name in sys.argv[1:]]))  # noqa: T201
