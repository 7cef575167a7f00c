"""Settings: where things are. The one reader of the environment.

Each field can be set by `settings.yml` beside `targets.yml`, and by an environment variable
`TRADING_OPS_<FIELD>`, which wins. Addresses and ports are not here: they are in `targets.yml`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from trading_ops.errors import ConfigError

PREFIX = "TRADING_OPS_"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Paths are absolute after loading; relative ones count from `root`."""

    root: Path
    """The folder that holds targets.yml, prometheus/, alertmanager/ and runbooks/."""

    var: Path = Path("var")
    """Everything that is written: data, secrets, logs. Can be deleted while nothing runs."""

    targets_file: Path = Path("targets.yml")
    runbooks: Path = Path("runbooks")
    prometheus_config: Path = Path("prometheus")
    alertmanager_config: Path = Path("alertmanager")

    reconciler: str = ""
    """Which entry of targets.yml this reconciler is; empty: the first one of its kind."""

    observe_only: bool = False
    """True: decide and record, but act on nothing. The local demo acts."""

    poll_interval_seconds: float = 15.0
    """How often the reconciler reads Prometheus and Alertmanager without being told to."""

    @property
    def secrets(self) -> Path:
        """Folder of generated tokens and keys, one a file, mode 0600."""
        return self.var / "secrets"

    @property
    def logs(self) -> Path:
        """Folder of the processes' logs."""
        return self.var / "log"

    @property
    def anchors(self) -> Path:
        """The file of the audit's anchors: what the newest event was, minute by minute."""
        return self.var / "audit" / "anchors"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the reconciler's database."""
        return f"sqlite:///{self.var / 'reconciler' / 'reconciler.db'}"

    def secret(self, name: str) -> str:
        """Return the secret that is to be sent: the first line of its file.

        Raises:
            ConfigError: it was never written, is empty, or cannot be read.
        """
        return self.accepted_secrets(name)[0]

    def accepted_secrets(self, name: str) -> tuple[str, ...]:
        """Return the secrets that are accepted: one a line, two while one replaces the other.

        Raises:
            ConfigError: there is none, or the file cannot be read.
        """
        path = self.secrets / name
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeError) as error:
            raise ConfigError(str(path), "", str(error), "run `trading-ops up` once") from error
        secrets = tuple(line.strip() for line in lines if line.strip())
        if not secrets:
            # An empty token would open the door to everybody who sends none.
            raise ConfigError(str(path), "", "it is empty", "delete it and run `trading-ops up`")
        return secrets


def load_settings(root: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read `settings.yml` and the environment.

    Args:
        root: the project folder; by default TRADING_OPS_ROOT or the working directory.
        environ: stands in for the process's environment in tests.

    Raises:
        ConfigError: an unknown key, a wrong type, or a file that cannot be read.
    """
    env = os.environ if environ is None else environ
    folder = (root or Path(env.get(f"{PREFIX}ROOT", "."))).resolve()
    raw: dict[str, Any] = {"root": str(folder)}
    path = folder / "settings.yml"
    if path.exists():
        raw |= _read_yaml(path)
    fields = {field.name for field in msgspec.structs.fields(Settings)} - {"root"}
    overrides = {name: env[key] for name in fields if (key := PREFIX + name.upper()) in env}
    _refuse_unknown(env, fields)
    try:
        settings = msgspec.convert(raw | overrides, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        wrong = next((name for name in overrides if f"$.{name}" in str(error)), None)
        if wrong is not None:
            variable = PREFIX + wrong.upper()
            fix = "see docs/deployment.md, “Settings”"
            raise ConfigError("environment", variable, str(error), fix) from error
        raise ConfigError(
            str(path), "", str(error), "see docs/deployment.md, “Settings”"
        ) from error
    return msgspec.structs.replace(
        settings,
        **{
            name: (folder / value).resolve()
            for name in fields
            if isinstance(value := getattr(settings, name), Path)
        },
    )


def _refuse_unknown(env: Mapping[str, str], fields: set[str]) -> None:
    """A misspelt variable that is ignored in silence would be believed."""
    known = {f"{PREFIX}ROOT", *(PREFIX + name.upper() for name in fields)}
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in known:
            fix = "one of " + ", ".join(sorted(known))
            raise ConfigError("environment", name, "there is no such setting", fix)


def _decode(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"expected a path, got {value!r}")  # msgspec adds the key


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(str(path), "", str(error), "correct or remove the file") from error
    if not isinstance(data, dict):
        raise ConfigError(str(path), "", "it is no mapping of keys to values", "write KEY: VALUE")
    return data
