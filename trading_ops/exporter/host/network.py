"""Network interfaces."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from prometheus_client.metrics_core import Metric

from trading_ops.instrument.families import family

INTERFACES = Path("/sys/class/net")
LOOPBACK = "lo"
LARGEST_COUNT = 16


def network(wanted: Sequence[str] = ()) -> Iterator[Metric]:
    """Yield the traffic of the network interfaces.

    Args:
        wanted: names of interfaces; empty: see `chosen`.
    """
    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    names = [name for name in wanted or chosen() if name in counters][:LARGEST_COUNT]
    if not names:
        return
    for metric, field in (
        ("received_bytes", "bytes_recv"),
        ("sent_bytes", "bytes_sent"),
        ("received_packets", "packets_recv"),
        ("sent_packets", "packets_sent"),
    ):
        values: dict[tuple[str, ...], float]
        values = {(name,): getattr(counters[name], field) for name in names}
        yield family(f"trading_host_network_{metric}_total", values)
    for metric, ingoing, outgoing in (
        ("errors", "errin", "errout"),
        ("drops", "dropin", "dropout"),
    ):
        both: dict[tuple[str, ...], float] = {}
        for name in names:
            both[name, "received"] = getattr(counters[name], ingoing)
            both[name, "sent"] = getattr(counters[name], outgoing)
        yield family(f"trading_host_network_{metric}_total", both)


def chosen(interfaces: Path = INTERFACES) -> list[str]:
    """Return the interfaces with a device; if none has one, all except the loopback.

    Containers create and remove many virtual interfaces, whose traffic would be counted twice; but
    inside a container there are no others.
    """
    names = sorted(
        interface.name for interface in interfaces.iterdir() if interface.name != LOOPBACK
    )
    return [name for name in names if (interfaces / name / "device").exists()] or names
