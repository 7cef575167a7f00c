"""Someone trades on the venue manually, with the documentation's own lines, while the bot runs."""

import subprocess
import sys
from pathlib import Path

import ccxt
import pytest

from tests.stack import ROOT, Stack
from trading_ops.domain.target import Kind

pytestmark = pytest.mark.slow

DOCS = ROOT / "docs" / "paper-venue.md"


def code_of(document: Path) -> str:
    """Return the document's first block of Python."""
    return document.read_text().split("```python\n", 1)[1].split("```", 1)[0]


def test_the_documented_lines_trade(stack: Stack) -> None:
    """An order rests, is cancelled, another is filled; only the address is the test's own."""
    venue = stack.registry.one(Kind.VENUE).address
    script = code_of(DOCS).replace("127.0.0.1:8401", venue)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=stack.settings.var.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "resting: ['" in done.stdout
    assert "bought: 0.001 BTC" in done.stdout


def test_a_replayed_nonce_is_refused(stack: Stack) -> None:
    """The same nonce twice: the second call is refused as Kraken refuses it."""
    venue = f"http://{stack.registry.one(Kind.VENUE).address}"
    kraken = ccxt.kraken(
        {
            "apiKey": stack.settings.secret("venue_key_manual"),
            "secret": stack.settings.secret("venue_secret_manual"),
        }
    )
    kraken.urls["api"] = dict.fromkeys(("public", "private"), venue)
    nonce = kraken.microseconds() + 10**9
    kraken.incrementing_nonce = lambda: nonce
    kraken.load_markets()
    kraken.fetch_balance()
    with pytest.raises(ccxt.InvalidNonce, match="EAPI:Invalid nonce"):
        kraken.fetch_balance()
    kraken.session.close()
