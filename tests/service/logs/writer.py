"""A process that logs numbered lines: `writer.py FOLDER COUNT FILE_BYTES`, controlled by its input.

`limit N`: no file may grow beyond N bytes, as on a full disk; `log N`: so many lines, `log`: for
ever; `stray`: a print to standard error; `flush`; `end`. Each answer
is what was logged and what was dropped.
"""

import logging
import os
import resource
import sys
from pathlib import Path

from trading_ops import logs
from trading_ops.logs.handler import FileHandler

_log = logs.get("writer")


def main() -> None:
    policy = logs.LogPolicy(folder=Path(sys.argv[1]), name="writer", file_bytes=int(sys.argv[2]))
    logs.configure("writer", policy=policy)
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, FileHandler)
    obey(handler)


def obey(handler: FileHandler) -> None:
    number = 0
    for line in sys.stdin:
        command, _, value = line.strip().partition(" ")
        if command == "limit":
            limit(value)
        elif command == "log":
            for _ in range(int(value) if value else 10**9):
                _log.info("line_written", n=number, filling="x" * 50)
                number += 1
                if not value and number % 2000 == 0:
                    logs.flush(60)  # so that nothing need be dropped
        elif command == "stray":
            os.write(2, b"a dying interpreter\n")
        elif command == "flush":
            logs.flush(5)
        elif command == "end":
            return
        sys.stdout.write(f"{number} {handler.dropped}\n")
        sys.stdout.flush()


def limit(value: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(value) if value else hard, hard))


main()
