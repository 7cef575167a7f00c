"""The C library's heap, for a process that runs for months.

glibc gives each thread a heap of its own, which keeps what its busiest moment needed. Python runs
one thread at a time, so one heap is enough; `python -m tests.bench.heap` shows the difference.
Both functions do nothing with another C library.
"""

import ctypes

M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
"""Parameters of `mallopt`, from glibc's malloc.h."""

MMAP_BYTES = 128 * 1024
"""glibc's initial value. Setting it stops glibc from raising it with each large buffer it frees."""


def limit_heap() -> None:
    """Use one heap for all threads, and unmap buffers from 128 KiB as soon as they are freed.

    Call it before the process starts its threads: heaps that exist already stay.
    """
    if tune := _function("mallopt"):
        tune(M_ARENA_MAX, 1)
        tune(M_MMAP_THRESHOLD, MMAP_BYTES)


def trim_heap() -> None:
    """Return free heap memory to the kernel."""
    if trim := _function("malloc_trim"):
        trim(0)


def _function(name: str) -> "ctypes._NamedFuncPointer | None":
    return getattr(ctypes.CDLL(None), name, None)
