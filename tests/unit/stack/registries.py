"""Registries and settings for tests of the stack."""

from pathlib import Path

from trading_ops.config.loading import load_settings
from trading_ops.config.settings import Settings
from trading_ops.config.targets import load_targets, parse_targets
from trading_ops.domain.target import Registry

REPOSITORY = Path(__file__).parents[3]


def settings_in(var: Path) -> Settings:
    """Return settings with the committed files and another var folder."""
    return load_settings(REPOSITORY, {"TRADING_OPS_VAR": str(var)})


def committed() -> Registry:
    """Return the registry as it is shipped."""
    return load_targets(REPOSITORY / "targets.yml")


def changed(*replacements: tuple[str, str]) -> Registry:
    """Return the shipped registry with some text replaced."""
    text = (REPOSITORY / "targets.yml").read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return parse_targets(text, where="targets.yml")


TWO_BOTS = (
    "  - name: exporter\n",
    """  - name: beta
    kind: bot
    venue: paper
    address: 127.0.0.1:8412
    service: {manager: supervisor, unit: bot-beta}

  - name: exporter
""",
)
