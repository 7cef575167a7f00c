"""Index bloat, by two methods that need neither locks nor extensions.

Estimate: the size of a B-tree with this number of rows and this width. It works immediately, but
underestimates bloat if keys repeat: PostgreSQL 13 and later store a repeated key once.

Growth: bytes per row, compared with the minimum since the exporter started or the index was rebuilt
(the method of pg_index_watch). It works for every kind of index.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

Row = dict[str, Any]

PAGE_HEADER, SPECIAL, META_PAGES = 24, 16, 1
ITEM_POINTER, TUPLE_HEADER, ALIGNMENT = 4, 8, 8
FEWEST_ROWS = 1000
"""Minimum rows of an index for a baseline."""


class Growth:
    """Remembers the minimum bytes per row of each index."""

    def __init__(self) -> None:
        self._fewest: dict[tuple[int, int], float] = {}

    def ratios(
        self, seen: dict[tuple[int, int], tuple[float, float]]
    ) -> dict[tuple[int, int], float]:
        """Return the growth of each index relative to its minimum.

        Args:
            seen: bytes and rows, by a key that changes when the index is rebuilt. Other indexes are
                forgotten.
        """
        known, self._fewest = self._fewest, {}
        found = {}
        for index, (size, rows) in seen.items():
            now = size / max(rows, 1.0)
            best = known.get(index, math.inf)
            if rows >= FEWEST_ROWS:
                best = min(best, now)
            if best < math.inf:
                self._fewest[index] = best
                found[index] = now / best
        return found


def with_ratios(rows: Iterable[Row], growth: Growth) -> Iterator[Row]:
    """Yield the rows of the indexes with both ratios instead of their inputs."""
    found = [row for row in rows if row["rows"] >= 0]  # -1: never analyzed
    grown = growth.ratios(
        {_identity(row): (float(row["index_size_bytes"]), float(row["rows"])) for row in found}
    )
    for row in found:
        yield {
            "label_index": row["label_index"],
            "index_size_bytes": row["index_size_bytes"],
            "index_scans_total": row["index_scans_total"],
            "index_growth_ratio": grown.get(_identity(row)),
            "index_bloat_ratio": _bloat(row),
        }


def _identity(row: Row) -> tuple[int, int]:
    return row["oid"], row["relfilenode"]


def _bloat(row: Row) -> float | None:
    if row["method"] != "btree" or row["width"] is None:
        return None
    expected = expected_bytes(
        float(row["rows"]), float(row["width"]), row["fillfactor"], row["block"]
    )
    return float(row["index_size_bytes"]) / expected


def expected_bytes(rows: float, width: float, fillfactor: int, block: int) -> float:
    """Return the size of a new B-tree in bytes.

    Args:
        rows: entries.
        width: mean bytes of a key.
        fillfactor: of the leaves, in percent.
        block: bytes of a page.
    """
    entry = ITEM_POINTER + TUPLE_HEADER + math.ceil(width / ALIGNMENT) * ALIGNMENT
    room = (block - PAGE_HEADER - SPECIAL) * fillfactor / 100
    leaves = math.ceil(rows * entry / room)
    inner = math.ceil(leaves * entry / room) if leaves > 1 else 0
    return float((max(leaves, 1) + inner + META_PAGES) * block)
