"""The firewall and proxy examples fit the table of ports, and their programs accept them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FIREWALL = ROOT / "deploy" / "nftables.conf"
PROXY = ROOT / "deploy" / "nginx.conf"


def documented_ports() -> set[int]:
    """Return the ports of the table in docs/security.md."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    return {int(port) for port in re.findall(r"^\| (\d{4,5})\b", text, flags=re.MULTILINE)}


def test_every_documented_port_is_guarded() -> None:
    """One that is missing here would be open to everyone who reaches the host."""
    dropped = re.search(r"tcp dport \{ (.+) \} counter drop", FIREWALL.read_text(encoding="utf-8"))
    assert dropped is not None
    guarded: set[int] = set()
    for part in dropped[1].split(", "):
        low, _, high = part.partition("-")
        guarded |= set(range(int(low), int(high or low) + 1))
    assert documented_ports()
    assert documented_ports() <= guarded


def nft(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run nft, which needs the kernel's tables and the right to them."""
    return subprocess.run(["nft", *arguments], capture_output=True, text=True, check=False)


def test_nft_accepts_the_firewall() -> None:
    """Checked, not loaded."""
    if shutil.which("nft") is None or nft("list", "tables").returncode:
        pytest.skip("needs nft and its rights")
    done = nft("-c", "-f", str(FIREWALL))
    assert done.returncode == 0, done.stderr


def test_the_proxy_passes_what_the_console_needs() -> None:
    """The host name, that browsers came over TLS, and WebSockets."""
    text = PROXY.read_text(encoding="utf-8")
    for header in ("Host $host", "X-Forwarded-Proto https", "Upgrade $http_upgrade"):
        assert f"proxy_set_header {header};" in text
