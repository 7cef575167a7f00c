"""The firewall and proxy examples fit the table of ports, and their programs accept them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

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


def manifests(name: str) -> list[dict[str, Any]]:
    """Return the documents of one file of the Kubernetes base."""
    text = (ROOT / "deploy" / "kubernetes" / name).read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


def pods(name: str) -> list[dict[str, Any]]:
    """Return the pod templates of one file."""
    return [made["spec"]["template"] for made in manifests(name) if made["kind"] == "StatefulSet"]


def selects(selector: dict[str, Any], pod: dict[str, Any]) -> bool:
    """Whether a policy's selector by labels matches a pod."""
    wanted = selector["podSelector"]["matchLabels"]
    return bool(wanted.items() <= pod["metadata"]["labels"].items())


@pytest.mark.parametrize("name", ["bot.yaml", "node.yaml"])
def test_the_network_policy_covers_every_bot_and_the_node(name: str) -> None:
    """By a label that any bot can have, not by the example's name."""
    of_managed, of_reconciler = (policy["spec"] for policy in manifests("network-policy.yaml"))
    (pod,) = pods(name)
    assert selects(of_managed, pod)
    assert "alpha" not in str(of_managed)
    (reconciler,) = pods("reconciler.yaml")
    assert selects(of_managed["ingress"][0]["from"][0], reconciler)
    assert selects(of_reconciler["egress"][0]["to"][0], pod)


def test_the_reconciler_reaches_what_it_needs_and_nothing_else() -> None:
    _, policy = (policy["spec"] for policy in manifests("network-policy.yaml"))
    (pod,) = pods("reconciler.yaml")
    assert selects(policy, pod)
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert all(rule.get("ports") or rule.get("to") for rule in policy["egress"])
    ports = {port["port"] for rule in policy["egress"] for port in rule.get("ports", ())}
    assert ports == {53, 443, 465, 587, 5432, 9090, 9093}
    inbound = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert inbound == {8431}
