"""What is read of this host is what the kernel says, and what it does not say is absent."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import pytest
from prometheus_client.metrics_core import Metric

from trading_ops.exporter.collector import PolledSource
from trading_ops.exporter.config import ExporterConfig
from trading_ops.exporter.host.disks import devices, file_system
from trading_ops.exporter.host.memory import memory, pressure
from trading_ops.exporter.host.network import chosen, network
from trading_ops.exporter.host.source import host_sources
from trading_ops.exporter.host.system import clock_state, open_files, process_counts, processors

Values = dict[tuple[str, ...], float]


def values_of(families: Iterable[Metric]) -> dict[str, Values]:
    """Return values by label values by the name without its beginning."""
    return {
        family.samples[0].name.removeprefix("trading_host_"): {
            tuple(sample.labels.values()): sample.value for sample in family.samples
        }
        for family in families
    }


def test_memory() -> None:
    """Size and swap are psutil's; kills are counted, zero among them."""
    seen = values_of(memory())
    assert seen["memory_size_bytes"] == {(): psutil.virtual_memory().total}
    assert 0 < seen["memory_available_bytes"][()] < seen["memory_size_bytes"][()]
    assert seen["swap_used_bytes"][()] <= seen["swap_size_bytes"][()]
    assert seen["oom_kills_total"][()] >= 0


def test_pressure(tmp_path: Path) -> None:
    """Microseconds of the kernel are seconds; without the files there is nothing."""
    assert values_of(pressure(tmp_path)) == {}
    folder = tmp_path / "pressure"
    folder.mkdir()
    (folder / "memory").write_text(
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n"
    )
    (folder / "cpu").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n")
    assert values_of(pressure(tmp_path)) == {
        "pressure_seconds_total": {
            ("cpu", "some"): 5e-6, ("memory", "some"): 2.5, ("memory", "full"): 1.0,
        }
    }  # fmt: skip


def test_file_system(tmp_path: Path) -> None:
    """Space and inodes are those that an unprivileged process can have."""
    seen, stat = values_of(file_system(tmp_path)), os.statvfs(tmp_path)
    label = (str(tmp_path),)
    assert seen["disk_size_bytes"] == {label: stat.f_blocks * stat.f_frsize}
    assert 0 < seen["disk_free_bytes"][label] < seen["disk_size_bytes"][label]
    assert seen["disk_read_only"] == {label: 0}
    assert seen.get("disk_inodes", {label: stat.f_files}) == {label: stat.f_files}
    proc = values_of(file_system(Path("/proc")))
    assert "disk_inodes" not in proc, "a file system without a limit has none"


def test_a_read_only_file_system_is_reported() -> None:
    """Any that this host has mounted so."""
    mounts = [partition.mountpoint for partition in psutil.disk_partitions(all=True)]
    found = [
        path
        for path in mounts
        if os.access(path, os.R_OK) and os.statvfs(path).f_flag & os.ST_RDONLY
    ]
    if not found:
        pytest.skip("nothing is mounted read only here")
    seen = values_of(file_system(Path(found[0])))
    assert seen["disk_read_only"] == {(found[0],): 1}


def test_devices_are_whole_disks() -> None:
    """Neither partitions nor memory that looks like a disk."""
    for values in values_of(devices()).values():
        for (device,) in values:
            assert (Path("/sys/block") / device).exists()
            assert not device.startswith(("loop", "ram", "zram"))


def test_interfaces_are_those_with_a_device(tmp_path: Path) -> None:
    """Virtual ones only where there is nothing else, and the loopback never."""
    for name in ("lo", "eth0/device", "docker0", "veth12"):
        (tmp_path / name).mkdir(parents=True)
    assert chosen(tmp_path) == ["eth0"]
    (tmp_path / "eth0/device").rmdir()
    assert chosen(tmp_path) == ["docker0", "eth0", "veth12"]


def test_network() -> None:
    """The wanted interface only; one that is not there is left out."""
    seen = values_of(network(["lo", "gone0"]))
    assert seen["network_received_bytes_total"].keys() == {("lo",)}
    assert seen["network_drops_total"].keys() == {("lo", "received"), ("lo", "sent")}
    assert values_of(network(["gone0"])) == {}


def test_processors_and_files() -> None:
    """Counts are the kernel's, and the boot was before now."""
    seen = values_of(processors()) | values_of(open_files())
    assert seen["cpus"] == {(): os.cpu_count()}
    assert {mode for (mode,) in seen["cpu_seconds_total"]} >= {"user", "system", "idle", "iowait"}
    assert seen["boot_timestamp_seconds"] == {(): psutil.boot_time()}
    assert 0 < seen["open_files"][()] < seen["open_files_limit"][()]


def test_processes_are_counted(tmp_path: Path) -> None:
    """A process name may contain brackets and a state; other entries of /proc are ignored."""
    for pid, stat in (("1", "1 (init) S 0"), ("22", "22 (a) Z (x) R 1"), ("303", "303 (z) Z 1")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(stat)
    (tmp_path / "404").mkdir()  # it ended while it was counted
    (tmp_path / "self").mkdir()
    (tmp_path / "loadavg").write_text("0.10 0.20 0.30 2/157 4242\n")
    assert values_of(process_counts(tmp_path)) == {
        "processes": {(): 3}, "threads": {(): 157}, "zombies": {(): 1},
    }  # fmt: skip


def test_the_clock_is_asked_only() -> None:
    """Where it may be asked at all: synchronized or not, and within which bound."""
    seen = values_of(clock_state())
    if not seen:
        pytest.skip("adjtimex is forbidden here")
    assert seen["clock_synchronized"][()] in (0, 1)
    assert 0 <= seen["clock_error_bound_seconds"][()] <= 1000


@pytest.mark.parametrize("look", [memory, processors, process_counts])
async def test_a_reading_is_reported_in_full(look: Callable[[], Iterable[Metric]]) -> None:
    """What one part yields is in the collector that it belongs to."""
    names: set[str] = set()
    for source in host_sources(ExporterConfig()):
        watched = PolledSource(source)
        await watched.once()
        assert watched.problem == ""
        names |= {family.name for family in watched.figures()}
    assert {family.name for family in look()} <= names
