"""`trading-ops config`: check, show and describe the configuration."""

import json
from pathlib import Path

import click

from trading_ops.cli.console import out, output_option, print_json
from trading_ops.cli.exit_codes import ExitCode


@click.group()
def config() -> None:
    """Check and show the configuration of this project folder."""


@config.command()
@output_option
def check(output: str) -> None:
    """Check every file of the project folder; contacts no other process.

    Settings, targets, runbooks, jobs, messages, the readiness plan, capacity, and with promtool and
    amtool the rules and Alertmanager's configuration. Exits with 4 when a check fails.
    """
    from trading_ops.cli.checks import show as show_checks  # noqa: PLC0415
    from trading_ops.cli.runbook import known_faults  # noqa: PLC0415
    from trading_ops.config.loading import load_settings  # noqa: PLC0415
    from trading_ops.doctor.configuration import check_files  # noqa: PLC0415

    settings = load_settings()
    show_checks(check_files(settings, known_faults()), output, failed=ExitCode.SETUP)


@config.command()
@output_option
def show(output: str) -> None:
    """Show every setting with its value and source."""
    from rich.table import Table  # noqa: PLC0415

    values = _values()
    if output == "json":
        print_json(
            {name: {"value": value, "from": source} for name, (value, source) in values.items()}
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("setting", "value", "from"):
        table.add_column(column, overflow="fold")
    for name, (value, source) in values.items():
        table.add_row(name, str(value), source)
    out().print(table)


@config.command()
@click.argument("file", type=click.Choice(["settings", "targets"]))
def schema(file: str) -> None:
    """Print the JSON Schema of settings.yml or targets.yml, for editors."""
    import msgspec  # noqa: PLC0415

    from trading_ops.config.settings import Settings  # noqa: PLC0415
    from trading_ops.config.targets import TargetsFile  # noqa: PLC0415

    if file == "targets":
        made = msgspec.json.schema(TargetsFile)
    else:  # msgspec has no schema for paths, so they become text; `root` is the file's folder
        as_text = {Path | None: str | None, dict[str, Path]: dict[str, str]}
        fields = [
            (field.name, str, str(field.default))
            if isinstance(field.default, Path)
            else (
                field.name,
                as_text.get(field.type, field.type),
                field.default
                if field.default is not msgspec.NODEFAULT
                else msgspec.field(default_factory=field.default_factory),
            )
            for field in msgspec.structs.fields(Settings)
            if field.name != "root"
        ]
        made = msgspec.json.schema(
            msgspec.defstruct("Settings", fields, kw_only=True, forbid_unknown_fields=True)
        )
    click.echo(json.dumps(made, indent=2))


def _values() -> dict[str, tuple[object, str]]:
    """Return each setting's value and source; passwords in URLs are redacted."""
    from trading_ops.config.loading import load_settings, setting_sources  # noqa: PLC0415
    from trading_ops.redaction import redact  # noqa: PLC0415

    settings = load_settings()
    found: dict[str, tuple[object, str]] = {}
    for name, source in setting_sources(settings).items():
        value = getattr(settings, name)
        if isinstance(value, dict):
            value = ", ".join(f"{key}: {folder}" for key, folder in value.items())
        plain = value if isinstance(value, bool | int | float | None) else redact(str(value))
        found[name] = (plain, source)
    return found


@config.command("apply")
def apply_() -> None:
    """Write missing tokens, the discovery files and links for Prometheus and Alertmanager.

    They go to the folder of the setting `var`. Run it after changing targets.yml: Prometheus
    reloads the discovery files automatically, and a running reconciler loads targets.yml within
    seconds. Idempotent.
    """
    from trading_ops.config.loading import load_settings  # noqa: PLC0415
    from trading_ops.config.targets import load_targets  # noqa: PLC0415
    from trading_ops.project.apply import apply  # noqa: PLC0415

    settings = load_settings()
    registry = load_targets(settings.targets_file)
    apply(settings, registry)
    click.echo(f"{len(registry.targets)} targets applied to {settings.var}")
