"""Chromium, and a console that can be killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.free_ports import free_port
from tests.service.api.conftest import TOKENS
from trading_ops.api.auth import Role

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "var" / "screenshots"
STARTED_WITHIN = 120.0
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Served:
    """The process that serves the console."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The console's address."""
        return f"http://127.0.0.1:{self.port}/console"

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.served", str(self.folder), str(self.port)],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        log.close()
        deadline = time.monotonic() + STARTED_WITHIN
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2).close()
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            else:
                return

    def signal(self, number: signal.Signals) -> None:
        """Kill, freeze or thaw it."""
        assert self.process is not None
        os.kill(self.process.pid, number)
        if number is signal.SIGKILL:
            self.process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A console of twelve bots."""
    console = Served(tmp_path_factory.mktemp("console"), free_port())
    console.start()
    yield console
    assert console.process is not None
    if console.process.poll() is None:
        console.signal(signal.SIGCONT)
        console.signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: run `apt-get install chromium`")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(f"Chromium does not start: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


def log_in(page: Page, served: Served, role: Role = Role.ADMIN, owner: str = "") -> None:
    """Log in by the form."""
    page.goto(f"{served.url}/login")
    page.get_by_label("Token", exact=True).fill(TOKENS[role])
    page.get_by_label("Your name").fill(owner)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/console/fleet")
