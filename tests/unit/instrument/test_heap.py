"""The limit of the C library's heap; each case in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import ctypes, sys, threading
from trading_ops.instrument.heap import limit_heap

libc = ctypes.CDLL(None)
for name in ("malloc", "fopen"):
    getattr(libc, name).restype = ctypes.c_void_p
if sys.argv[2] == "limited":
    limit_heap()
threads = [threading.Thread(target=libc.malloc, args=(ctypes.c_size_t(1000),)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.parametrize(("way", "one_heap"), [("as it is", False), ("limited", True)])
def test_all_threads_share_one_heap_after_the_limit(
    tmp_path: Path, way: str, one_heap: bool
) -> None:
    report = tmp_path / "heaps.xml"
    subprocess.run([sys.executable, "-c", PROGRAM, str(report), way], check=True)
    assert (report.read_text().count("<heap nr=") == 1) is one_heap
