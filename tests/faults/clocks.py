"""Wall clocks of single processes, which step when a test says so.

A time namespace shifts the monotonic clocks only, so a small library is preloaded. It shifts what
the C library tells of the time: our own processes, but neither Prometheus nor Alertmanager.
"""

import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shifted_clock.c")

needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


class Clocks:
    """The clocks of the units of one stack."""

    def __init__(self, folder: Path, units: tuple[str, ...]) -> None:
        """Build the library, and a clock for each unit that is right for now."""
        self._folder = folder
        self._library = folder / "shifted_clock.so"
        output = str(self._library)
        command = ["gcc", "-shared", "-fPIC", "-O1", "-o", output, str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        for unit in units:
            self.step(unit, 0)

    @property
    def environ(self) -> Mapping[str, str]:
        """What the stack's processes need in their environment."""
        return {"LD_PRELOAD": str(self._library), "SHIFTED_CLOCKS": str(self._folder)}

    def step(self, unit: str, seconds: float) -> None:
        """Set a unit's clock so far ahead of the machine's; it counts at once."""
        path = self._folder / unit
        path.touch()
        with path.open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("d", seconds))
