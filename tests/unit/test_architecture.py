"""docs/architecture.md names every package."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_package_is_in_the_table() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set()
    for first, cell in re.findall(r"^\| `(trading_ops(?:_lab)?)/([^|]+)\|", text, re.MULTILINE):
        named |= {f"{first}/{name.strip('` ')}" for name in cell.split(",")}
    packages = {
        f"{path.parent.parent.name}/{path.parent.name}"
        for product in ("trading_ops", "trading_ops_lab")
        for path in (ROOT / product).glob("*/__init__.py")
    }
    assert named == packages
