"""The host that the exporter runs on."""

from functools import partial

from trading_ops.instrument.metric import Metric, exporter_counter, exporter_gauge

_of_path = partial(exporter_gauge, labels=("path",))
_of_device = partial(exporter_counter, labels=("device",))
_of_interface = partial(exporter_counter, labels=("interface",))

_MEMORY: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_host_memory_size_bytes",
        unit="bytes",
        help="Total memory of the host.",
        why="The base for the available ratio.",
    ),
    exporter_gauge(
        name="trading_host_memory_available_bytes",
        unit="bytes",
        help="Memory available without swapping.",
        why="Near zero the OOM killer kills a process, often the bot.",
    ),
    exporter_gauge(
        name="trading_host_swap_size_bytes",
        unit="bytes",
        help="Swap space of the host; 0: none.",
        why="Without swap, exhausted memory triggers the OOM killer immediately.",
    ),
    exporter_gauge(
        name="trading_host_swap_used_bytes",
        unit="bytes",
        help="Used swap space.",
        why="A bot whose pages are swapped out reacts in seconds, not milliseconds.",
    ),
    exporter_counter(
        name="trading_host_oom_kills_total",
        help="OOM kills since boot.",
        why="Explains a process that disappeared without a log line.",
    ),
    exporter_counter(
        name="trading_host_pressure_seconds_total",
        unit="seconds",
        labels=("resource", "kind"),
        values={"resource": ("cpu", "io", "memory"), "kind": ("some", "full")},
        help="Time that some or all tasks waited for the resource (PSI); absent on older kernels.",
        why="Shows contention before usage reaches its limit.",
    ),
)

_DISKS: tuple[Metric, ...] = (
    _of_path(
        name="trading_host_disk_free_bytes",
        unit="bytes",
        help="Bytes available to unprivileged processes on the file system of the path.",
        why="A full disk stops databases and logs.",
    ),
    _of_path(
        name="trading_host_disk_size_bytes",
        unit="bytes",
        help="Size of the file system of the path.",
        why="The base for the free ratio.",
    ),
    _of_path(
        name="trading_host_disk_inodes_free",
        help="Inodes available to unprivileged processes on the file system of the path.",
        why="At zero no file can be created, even with free space.",
    ),
    _of_path(
        name="trading_host_disk_inodes",
        help="Total inodes of the file system of the path; absent if unlimited.",
        why="The base for the free ratio.",
    ),
    _of_path(
        name="trading_host_disk_read_only",
        help="1 if the file system of the path is read-only, else 0.",
        why="Linux remounts a disk with errors read-only: reads work, all writes fail.",
    ),
    _of_device(
        name="trading_host_disk_read_bytes_total",
        unit="bytes",
        help="Bytes read from the disk since boot.",
        why="Shows swapping and full table scans.",
    ),
    _of_device(
        name="trading_host_disk_written_bytes_total",
        unit="bytes",
        help="Bytes written to the disk since boot.",
        why="Shows SSD wear and runaway logs.",
    ),
    _of_device(
        name="trading_host_disk_busy_seconds_total",
        unit="seconds",
        help="Time for which the disk was busy, since boot.",
        why="Near one second per second the disk is saturated and every commit waits.",
    ),
)

_PROCESSORS: tuple[Metric, ...] = (
    exporter_counter(
        name="trading_host_cpu_seconds_total",
        unit="seconds",
        labels=("mode",),
        help="CPU time of the host by mode.",
        why="A saturated CPU delays everything; steal is time taken by other guests.",
    ),
    exporter_gauge(
        name="trading_host_cpus",
        help="Number of CPUs of the host.",
        why="The base for load and CPU usage.",
    ),
    exporter_gauge(
        name="trading_host_load1",
        help="Load average of the host over one minute.",
        why="Above the number of CPUs: tasks are waiting.",
    ),
    exporter_gauge(
        name="trading_host_load5",
        help="Load average of the host over five minutes.",
        why="Distinguishes a burst from a sustained load.",
    ),
    exporter_gauge(
        name="trading_host_load15",
        help="Load average of the host over fifteen minutes.",
        why="The baseline load.",
    ),
)

_NETWORK: tuple[Metric, ...] = (
    _of_interface(
        name="trading_host_network_received_bytes_total",
        unit="bytes",
        help="Bytes received since the interface was started.",
        why="No change: nothing is received.",
    ),
    _of_interface(
        name="trading_host_network_sent_bytes_total",
        unit="bytes",
        help="Bytes sent since the interface was started.",
        why="Shows a backup or copy that saturates the network.",
    ),
    _of_interface(
        name="trading_host_network_received_packets_total",
        help="Packets received since the interface was started.",
        why="The base for the loss ratio.",
    ),
    _of_interface(
        name="trading_host_network_sent_packets_total",
        help="Packets sent since the interface was started.",
        why="The base for the loss ratio.",
    ),
    exporter_counter(
        name="trading_host_network_errors_total",
        labels=("interface", "direction"),
        values={"direction": ("received", "sent")},
        help="Packet errors since the interface was started.",
        why="A bad cable, network card or driver.",
    ),
    exporter_counter(
        name="trading_host_network_drops_total",
        labels=("interface", "direction"),
        values={"direction": ("received", "sent")},
        help="Dropped packets since the interface was started.",
        why="The host is too slow for its traffic: feeds have gaps.",
    ),
)

_SYSTEM: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_host_open_files",
        help="Open file descriptors of the host.",
        why="At the kernel's limit no process can open more.",
    ),
    exporter_gauge(
        name="trading_host_open_files_limit",
        help="Maximum open file descriptors of the host.",
        why="The limit for open file descriptors.",
    ),
    exporter_gauge(
        name="trading_host_processes",
        help="Processes of the host, including zombies; counted once a minute.",
        why="A slope is a process leak.",
    ),
    exporter_gauge(
        name="trading_host_threads",
        help="Threads of all processes and of the kernel; counted once a minute.",
        why="A slope is a thread leak; at the kernel's limit no process can start.",
    ),
    exporter_gauge(
        name="trading_host_zombies",
        help="Zombie processes of the host; counted once a minute.",
        why="A parent process that is hung or broken.",
    ),
    exporter_gauge(
        name="trading_host_boot_timestamp_seconds",
        unit="seconds",
        help="Time of the last boot, Unix time.",
        why="A reboot explains all other restarts.",
    ),
    exporter_gauge(
        name="trading_host_clock_synchronized",
        help="1 if the kernel's clock is synchronized, else 0; absent if unknown.",
        why="An unsynchronized clock breaks signatures, nonces and latency metrics.",
    ),
    exporter_gauge(
        name="trading_host_clock_error_bound_seconds",
        unit="seconds",
        help="Maximum clock error as estimated by the kernel; grows while not synchronized.",
        why="Upper bound of the clock error.",
    ),
)

HOST: tuple[Metric, ...] = (*_MEMORY, *_DISKS, *_PROCESSORS, *_NETWORK, *_SYSTEM)
