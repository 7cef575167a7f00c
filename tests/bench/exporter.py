"""What the exporter costs: its memory and processor time, a venue's child, and each reading.

    .venv/bin/python -m tests.bench.exporter

Two real processes, one after the other: with the host and one process alone, and with a venue
through ccxt as well, which is the paper venue. Each is scraped once a second.
"""

import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from tests.bench.say import say
from tests.free_ports import free_port
from tests.service.venue.harness import Files, VenueProcess

WARM_SECONDS = 20
SECONDS = 60
DURATION = re.compile(r'trading_exporter_collector_duration_seconds\{collector="(.+)"\} (\S+)')


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "metrics_token").write_text("token")
        (folder / "pid").write_text(str(psutil.Process().pid))
        files = Files(folder)
        for part in ("key", "secret"):
            (folder / f"alpha.{part}").chmod(0o600)
        venue = VenueProcess(files)
        venue.start()
        alone = "paths: [/]\nprocesses: [{name: me, pid_file: pid}]\n"
        keys = "key_file: alpha.key, secret_file: alpha.secret"
        through = f"ccxt: [{{name: paper, exchange: kraken, url: '{files.url}', {keys}}}]\n"
        measure(folder, "host and one process", alone)
        measure(folder, "and a venue through ccxt", alone + through)
        venue.stop()


def measure(folder: Path, name: str, config: str) -> None:
    """Run an exporter with this configuration and print what it took."""
    address = f"127.0.0.1:{free_port()}"
    path = folder / "exporter.yml"
    path.write_text(f"address: {address}\n{config}")
    began = time.monotonic()
    command = (sys.executable, "-m", "trading_ops.exporter", "--config", str(path))
    exporter = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not (text := scraped(address)):
        time.sleep(0.02)
    say(f"\n{name}: first scrape after {time.monotonic() - began:.2f} s")
    time.sleep(WARM_SECONDS)
    process = psutil.Process(exporter.pid)
    spent, began = used(process), time.monotonic()
    while time.monotonic() < began + SECONDS:
        time.sleep(1)
        text = scraped(address)
    share = (used(process) - spent) / (time.monotonic() - began)
    say(f"  processor: {share:.2%} of one, with a scrape a second of {len(text) / 1000:.0f} kB")
    for measured in (process, *process.children()):
        memory = measured.memory_full_info()
        kind = "the exporter" if measured == process else "the venue's child"
        say(f"  {kind}: {memory.rss / 1e6:.0f} MB resident, {memory.uss / 1e6:.0f} MB of its own")
    for collector, seconds in DURATION.findall(text):
        say(f"  a reading of {collector}: {float(seconds) * 1000:.1f} ms")
    exporter.terminate()
    exporter.wait()


def scraped(address: str) -> str:
    """Return what a scrape gives; nothing while there is no answer."""
    request = urllib.request.Request(
        f"http://{address}/metrics", headers={"Authorization": "Bearer token"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own address
            text: str = answer.read().decode()
            return text
    except (urllib.error.URLError, ConnectionError):
        return ""


def used(process: psutil.Process) -> float:
    """Return the processor's seconds of a process and its children."""
    return sum(sum(measured.cpu_times()[:2]) for measured in (process, *process.children()))


if __name__ == "__main__":
    main()
