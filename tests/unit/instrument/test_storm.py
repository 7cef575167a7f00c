"""No event is lost between threads and coroutines, and the storm would tell if one were."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

import trading_ops.instrument
from tests.unit.instrument.scrape_watch import families, histogram_faults
from tests.unit.instrument.storm import (
    KINDS,
    Storm,
    WaitingCounter,
    WaitingGauge,
    WaitingHistogram,
)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost(kind: str) -> None:
    """Each of half a million events is counted once, and each scrape meanwhile is whole.

    `make bench` has ten million.
    """
    storm = Storm()
    assert KINDS[kind](storm, 500_000) == 0
    assert storm.watch.faults == []
    assert storm.watch.scrapes > 1


LOSSY: dict[str, Callable[[], Storm]] = {
    "counter": lambda: Storm(counter=WaitingCounter()),
    "histogram": lambda: Storm(histogram=WaitingHistogram((0.5, 1.0, 2.0))),
    "gauge": lambda: Storm(gauge=WaitingGauge()),
}


@pytest.mark.parametrize("lossy", LOSSY)
@pytest.mark.parametrize("kind", KINDS)
def test_a_lossy_recorder_is_found(kind: str, lossy: str) -> None:
    """What reads, lets others work and writes back is not taken for a good recorder."""
    assert KINDS[kind](LOSSY[lossy](), 20_000) > 0


GOOD = """# HELP a A.
# TYPE a histogram
a_bucket{le="1.0"} 1
a_bucket{le="+Inf"} 2
a_count 2
a_sum 3.0
"""


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [("", "", 0), ('"1.0"} 1', '"1.0"} 3', 1), ("a_count 2", "a_count 3", 1)],
)
def test_a_torn_histogram_is_found(old: str, new: str, faults: int) -> None:
    """The watch beside the storm sees buckets that fall, and a count that is not the last one."""
    (family,) = families(GOOD.replace(old, new).encode(), "")
    assert len(histogram_faults(family)) == faults


INSTRUMENT = Path(trading_ops.instrument.__file__).parent


def test_nothing_is_called_while_a_number_is_added() -> None:
    """`x.value += f()` reads the value, lets another thread in, and writes an old sum back."""
    calls = [
        f"{file.name}:{place.lineno}: {ast.unparse(place)}"
        for file in sorted(INSTRUMENT.rglob("*.py"))
        for place in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(place, ast.AugAssign) and not isinstance(place.target, ast.Name)
        if any(isinstance(part, ast.Call | ast.Await) for part in ast.walk(place.value))
    ]
    assert calls == []
