"""`python -m tests.fuzz.guided RUNS SEED`: atheris, which looks for inputs that reach new code.

Run by `python -m tests.fuzz` where atheris is installed. The parser's own code is compiled into
native code by msgspec, so that atheris is led by what our code does with it.
"""

import random
import sys
import tempfile

import atheris  # type: ignore[import-untyped]  # only in the fuzzing environment

with atheris.instrument_imports(include=["trading_ops"]):
    from tests.fuzz.parsing import check
from tests.fuzz.payloads import payload


def main() -> None:
    """Run so many inputs; the process ends with 0 when none crashed."""
    runs, seed = int(sys.argv[1]), int(sys.argv[2])

    def fuzz(data: bytes) -> None:
        # Half as they come, half as the seed of a body that is nearly right.
        check(data if data[:1] < b"\x80" else payload(random.Random(data)))

    arguments = [sys.argv[0], f"-runs={runs}", f"-seed={seed}", "-max_len=4096", "-verbosity=0"]
    arguments.append(f"-artifact_prefix={tempfile.gettempdir()}/atheris-")
    atheris.Setup(arguments, fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
