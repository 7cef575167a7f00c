"""`readiness.yml` → `domain.readiness.Plan`, with errors that name the key and the fix."""

import re
from datetime import timedelta
from pathlib import Path

import msgspec
import yaml

from trading_ops.actions.registry import ACTIONS
from trading_ops.config.files import load_yaml, parse_duration, problem_of
from trading_ops.domain.readiness import (
    ZERO,
    Criterion,
    Limit,
    OnBreach,
    ReadinessPlan,
    ReadinessStage,
)
from trading_ops.errors import ConfigError
from trading_ops.readiness.checks import CHECKS

DEFAULT = Path(__file__).with_name("default.yml")
VERSION = 1

_LIMIT = re.compile(r"(<=|>=|<|>) ?([0-9]+(?:\.[0-9]+)?(?:e[0-9]{1,2})?)")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class _Criterion(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: str
    query: str = ""
    check: str = ""
    command: list[str] = []
    verified: list[str] = []
    drilled: list[str] = []
    restarts: bool = False
    waits: bool = False
    limit: str = ""


class _SignOff(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    every: str
    for_: str = msgspec.field(name="for")


class _Stage(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: str
    hours: float = 0.0
    sign_off: _SignOff | None = None
    criteria: list[_Criterion] = []


class _Phase(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: str
    on_breach: OnBreach
    stages: list[_Stage]
    approval: bool = False
    criteria: list[_Criterion] = []


class _PlanFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    version: int
    present: str
    phases: list[_Phase]


def load_plan(path: Path) -> ReadinessPlan:
    """Return the plan of a file, or the shipped plan if there is no file.

    Raises:
        ConfigError: the file cannot be read, or is invalid.
    """
    place = path if path.exists() else DEFAULT
    try:
        file = msgspec.convert(load_yaml(place.read_text(encoding="utf-8")), _PlanFile)
    except (OSError, UnicodeError) as error:
        fix = "make it a file that this user can read"
        raise ConfigError(str(place), "", str(error), fix) from error
    except yaml.YAMLError as error:
        raise ConfigError(str(place), "", problem_of(error), "correct the YAML") from error
    except msgspec.ValidationError as error:
        reason, _, key = str(error).partition(" - at ")
        fix = "see docs/readiness.md, “The plan”"
        raise ConfigError(str(place), key.strip("`"), reason, fix) from error
    return _plan(str(place), file)


def _plan(where: str, file: _PlanFile) -> ReadinessPlan:
    if file.version != VERSION:
        raise ConfigError(where, "version", f"unknown version {file.version}", "write version: 1")
    if "$window" not in file.present:
        problem = "the query has no $window"
        raise ConfigError(where, "present", problem, "count seconds of work within $window")
    stages = tuple(stage for phase in file.phases for stage in _stages(where, phase))
    if not stages:
        raise ConfigError(where, "phases", "no stages", "write at least one")
    for kind, names in (
        ("phase", [phase.name for phase in file.phases]),
        ("stage", [stage.name for stage in stages]),
    ):
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(where, name, f"two {kind}s have this name", "rename one")
    if stages[0].approval:
        fix = "leave `approval` out of the first phase: `begin` enters it"
        raise ConfigError(where, file.phases[0].name, "its first stage needs approval", fix)
    return ReadinessPlan(present=file.present.strip(), stages=stages)


def _stages(where: str, phase: _Phase) -> list[ReadinessStage]:
    _check_name(where, phase.name)
    if not phase.stages:
        raise ConfigError(where, phase.name, "the phase has no stages", "write at least one")
    shared = _criteria(where, f"{phase.name}.criteria", phase.criteria)
    found = []
    for index, stage in enumerate(phase.stages):
        _check_name(where, stage.name)
        key = f"{phase.name}.{stage.name}"
        if stage.hours < 0:
            raise ConfigError(where, f"{key}.hours", "negative", "write 0 or more")
        every, lasts = _sign_off(where, key, stage.sign_off)
        found.append(
            ReadinessStage(
                name=stage.name,
                phase=phase.name,
                on_breach=phase.on_breach,
                approval=phase.approval,
                hours=stage.hours,
                sign_off_every=every,
                sign_off_for=lasts,
                criteria=(shared if index == 0 else ()) + _criteria(where, key, stage.criteria),
            )
        )
    return found


def _sign_off(where: str, key: str, given: _SignOff | None) -> tuple[timedelta | None, timedelta]:
    if given is None:
        return None, ZERO
    every = parse_duration(given.every, where, f"{key}.sign_off.every")
    lasts = parse_duration(given.for_, where, f"{key}.sign_off.for")
    if not ZERO < every <= lasts:
        problem = "`every` must be more than 0 and at most `for`"
        raise ConfigError(where, f"{key}.sign_off", problem, "such as {every: 4h, for: 48h}")
    return every, lasts


def _criteria(where: str, key: str, given: list[_Criterion]) -> tuple[Criterion, ...]:
    names = [criterion.name for criterion in given]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(where, f"{key}.{name}", "two criteria have this name", "rename one")
    return tuple(_criterion(where, f"{key}.{criterion.name}", criterion) for criterion in given)


def _criterion(where: str, key: str, criterion: _Criterion) -> Criterion:
    _check_name(where, criterion.name)
    sources = [
        name
        for name in ("query", "check", "command", "verified", "drilled")
        if getattr(criterion, name)
    ]
    if len(sources) != 1:
        problem = f"it has {' and '.join(sources) or 'no source'}"
        fix = "give exactly one of query, check, command, verified and drilled"
        raise ConfigError(where, key, problem, fix)
    if criterion.restarts and not criterion.query:
        fix = "give `query` for the time at which the process started"
        raise ConfigError(where, key, "`restarts` has no query", fix)
    needs_limit = sources[0] in {"query", "check"} and not criterion.restarts
    if needs_limit and not criterion.limit:
        raise ConfigError(
            where, f"{key}.limit", "missing", 'add a limit, for example limit: "< 0.001"'
        )
    if criterion.check and criterion.check not in CHECKS:
        problem = f"unknown check {criterion.check}"
        raise ConfigError(where, key, problem, f"one of {', '.join(sorted(CHECKS))}")
    unknown = [name for name in criterion.verified if name not in ACTIONS]
    if unknown:
        problem = f"unknown action {unknown[0]}"
        raise ConfigError(where, key, problem, f"one of {', '.join(sorted(ACTIONS))}")
    return Criterion(
        name=criterion.name,
        query=criterion.query.strip(),
        check=criterion.check,
        command=tuple(criterion.command),
        verified=tuple(criterion.verified),
        drilled=tuple(criterion.drilled),
        restarts=criterion.restarts,
        waits=criterion.waits,
        limit=_limit(where, f"{key}.limit", criterion.limit),
    )


def _limit(where: str, key: str, text: str) -> Limit | None:
    if not text:
        return None
    match = _LIMIT.fullmatch(text)
    if match is None:
        fix = 'write an operator and a number, such as "< 0.001"'
        raise ConfigError(where, key, f"{text!r} is not a limit", fix)
    return Limit(operator=match[1], value=float(match[2]))


def _check_name(where: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        fix = "use up to 40 lower-case letters, digits and hyphens"
        raise ConfigError(where, name[:40], "invalid name", fix)
