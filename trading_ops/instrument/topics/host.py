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
        help="Memory of the host.",
        why="The base for the share that is available.",
    ),
    exporter_gauge(
        name="trading_host_memory_available_bytes",
        unit="bytes",
        help="Memory that can be had without swapping.",
        why="Near zero the kernel kills a process, often the bot.",
    ),
    exporter_gauge(
        name="trading_host_swap_size_bytes",
        unit="bytes",
        help="Swap space of the host; 0 for none.",
        why="Without any, memory that runs out kills at once.",
    ),
    exporter_gauge(
        name="trading_host_swap_used_bytes",
        unit="bytes",
        help="Swap space that is used.",
        why="A bot whose pages are swapped out reacts in seconds, not milliseconds.",
    ),
    exporter_counter(
        name="trading_host_oom_kills_total",
        help="Processes that the kernel killed because memory ran out, since boot.",
        why="Explains a process that vanished without a word in its log.",
    ),
    exporter_counter(
        name="trading_host_pressure_seconds_total",
        unit="seconds",
        labels=("resource", "kind"),
        values={"resource": ("cpu", "io", "memory"), "kind": ("some", "full")},
        help="Time for which some or all work waited for the resource; absent on older kernels.",
        why="Says that a shortage hurts, before figures of use are at their end.",
    ),
)

_DISKS: tuple[Metric, ...] = (
    _of_path(
        name="trading_host_disk_free_bytes",
        unit="bytes",
        help="Bytes that an unprivileged process can still write to the file system of the path.",
        why="A full disk stops databases and logs.",
    ),
    _of_path(
        name="trading_host_disk_size_bytes",
        unit="bytes",
        help="Size of the file system of the path.",
        why="The base for the share that is free.",
    ),
    _of_path(
        name="trading_host_disk_inodes_free",
        help="Files that an unprivileged process can still make on the file system of the path.",
        why="At zero no file can be made, however much space there is.",
    ),
    _of_path(
        name="trading_host_disk_inodes",
        help="Files that the file system of the path can hold; absent where there is no limit.",
        why="The base for the share that is free.",
    ),
    _of_path(
        name="trading_host_disk_read_only",
        help="1 when the file system of the path cannot be written to, else 0.",
        why="Linux mounts a disk with errors so: it still reads well and loses every write.",
    ),
    _of_device(
        name="trading_host_disk_read_bytes_total",
        unit="bytes",
        help="Bytes read from the disk since boot.",
        why="Swapping and scans of whole tables show here.",
    ),
    _of_device(
        name="trading_host_disk_written_bytes_total",
        unit="bytes",
        help="Bytes written to the disk since boot.",
        why="What wears an SSD out, and what a runaway log does.",
    ),
    _of_device(
        name="trading_host_disk_busy_seconds_total",
        unit="seconds",
        help="Time for which the disk had requests to work on, since boot.",
        why="Near one second a second, every commit waits.",
    ),
)

_PROCESSORS: tuple[Metric, ...] = (
    exporter_counter(
        name="trading_host_cpu_seconds_total",
        unit="seconds",
        labels=("mode",),
        help="Time that all processors of the host spent in each mode.",
        why="A starved host makes everything late; steal is what other guests took.",
    ),
    exporter_gauge(
        name="trading_host_cpus",
        help="Processors of the host.",
        why="The measure for load and for processor time.",
    ),
    exporter_gauge(
        name="trading_host_load1",
        help="Load average of the host over one minute.",
        why="More than the processors: work is waiting.",
    ),
    exporter_gauge(
        name="trading_host_load5",
        help="Load average of the host over five minutes.",
        why="Tells a burst from a state.",
    ),
    exporter_gauge(
        name="trading_host_load15",
        help="Load average of the host over fifteen minutes.",
        why="What the host is used to.",
    ),
)

_NETWORK: tuple[Metric, ...] = (
    _of_interface(
        name="trading_host_network_received_bytes_total",
        unit="bytes",
        help="Bytes received since the interface came up.",
        why="Stands still: nothing comes in, whatever the feeds say.",
    ),
    _of_interface(
        name="trading_host_network_sent_bytes_total",
        unit="bytes",
        help="Bytes sent since the interface came up.",
        why="A backup or a copy that takes the line from the orders.",
    ),
    _of_interface(
        name="trading_host_network_received_packets_total",
        help="Packets received since the interface came up.",
        why="The base for the share that was lost.",
    ),
    _of_interface(
        name="trading_host_network_sent_packets_total",
        help="Packets sent since the interface came up.",
        why="The base for the share that was lost.",
    ),
    exporter_counter(
        name="trading_host_network_errors_total",
        labels=("interface", "direction"),
        values={"direction": ("received", "sent")},
        help="Broken packets since the interface came up.",
        why="A cable, a card or a driver.",
    ),
    exporter_counter(
        name="trading_host_network_drops_total",
        labels=("interface", "direction"),
        values={"direction": ("received", "sent")},
        help="Whole packets that were thrown away since the interface came up.",
        why="The host is too slow for its traffic: feeds get gaps.",
    ),
)

_SYSTEM: tuple[Metric, ...] = (
    exporter_gauge(
        name="trading_host_open_files",
        help="Files that all processes of the host have open.",
        why="At the kernel's limit nobody can open one more.",
    ),
    exporter_gauge(
        name="trading_host_open_files_limit",
        help="Most files that may be open on the host.",
        why="The limit for those that are open.",
    ),
    exporter_gauge(
        name="trading_host_processes",
        help="Processes of the host, zombies included; counted once a minute.",
        why="A slope is something that starts them and never ends them.",
    ),
    exporter_gauge(
        name="trading_host_threads",
        help="Threads of all processes and of the kernel; counted once a minute.",
        why="A slope ends at the kernel's limit, and then nothing can be started.",
    ),
    exporter_gauge(
        name="trading_host_zombies",
        help="Processes that ended and whose parent did not ask how; counted once a minute.",
        why="A supervisor that hangs or is broken.",
    ),
    exporter_gauge(
        name="trading_host_boot_timestamp_seconds",
        unit="seconds",
        help="Time of the last boot, since the epoch.",
        why="A restart of the whole host explains everything that began anew.",
    ),
    exporter_gauge(
        name="trading_host_clock_synchronised",
        help="1 when the kernel takes its clock for set by something, else 0; absent if unknown.",
        why="A clock that runs free breaks signatures, nonces and every measured latency.",
    ),
    exporter_gauge(
        name="trading_host_clock_error_bound_seconds",
        unit="seconds",
        help="Largest error that the kernel allows for in its clock; grows while nothing sets it.",
        why="Says how wrong the clock may be by now.",
    ),
)

HOST: tuple[Metric, ...] = (*_MEMORY, *_DISKS, *_PROCESSORS, *_NETWORK, *_SYSTEM)
