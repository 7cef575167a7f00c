"""The recorder beside prometheus_client: recording, memory, scrapes, stalls, and lost events.

Both do the same work in the same run. Run by `make bench`; `python -m tests.bench.recorder storm`
and the like run one part.
"""

import sys
from collections.abc import Callable

from tests.bench.recorder.memory import memory
from tests.bench.recorder.recording import recording
from tests.bench.recorder.scrapes import scrapes
from tests.bench.recorder.stalls import stalls
from tests.bench.recorder.storms import storms

PARTS: dict[str, Callable[[], None]] = {
    "recording": recording,
    "memory": memory,
    "scrapes": scrapes,
    "stalls": stalls,
    "storm": storms,
}


def main() -> None:
    """Run the parts that are named, or all."""
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
