"""docs/architecture.md names every package, and the pages name only modules that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_package_and_module_of_the_first_level_is_in_the_table() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set()
    for first, cell in re.findall(r"^\| `(trading_ops(?:_lab)?)/([^|]+)\|", text, re.MULTILINE):
        named |= {f"{first}/{name.strip('` ')}" for name in cell.split(",")}
    products = [ROOT / "trading_ops", ROOT / "trading_ops_lab"]
    packages = {path.parent for product in products for path in product.glob("*/__init__.py")}
    modules = {path for product in products for path in product.glob("*.py")}
    found = packages | modules - {product / "__init__.py" for product in products}
    assert named == {path.relative_to(ROOT).as_posix() for path in found}


def test_the_pages_name_only_modules_that_exist() -> None:
    """A renamed module would lead the reader nowhere."""
    modules = {
        f"/{path.relative_to(ROOT).as_posix()}"
        for folder in ("trading_ops", "trading_ops_lab", "tests", "examples", "scripts", "grafana")
        for path in (ROOT / folder).rglob("*.py")
    }
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    missing = {
        f"{page.name}: {name}"
        for page in (*pages, *(ROOT / "docs").rglob("*.md"), *(ROOT / "runbooks").glob("*.md"))
        for name in re.findall(r"`([\w/]+\.py)`", page.read_text(encoding="utf-8"))
        if not any(module.endswith(f"/{name}") for module in modules)
    }
    assert missing == set()
