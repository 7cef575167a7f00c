"""Loads `runbooks/<AlertName>.md`, and finds the runbook and target of an alert.

Labels match registered names only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from trading_ops.actions.registry import ACTIONS
from trading_ops.config.files import load_yaml, parse_duration, problem_of
from trading_ops.domain.alert import Alert
from trading_ops.domain.attempt import DeliverySemantics
from trading_ops.domain.runbook import (
    LONGEST_WINDOW,
    Drill,
    Limits,
    Runbook,
    RunbookStep,
    VerifyQuery,
)
from trading_ops.domain.target import NAMED_BOTS, Registry, Target
from trading_ops.errors import ConfigError
from trading_ops.store.incidents import FiringAlert


@dataclass(frozen=True)
class RunbookIndex:
    """The runbooks and the registry."""

    runbooks: Mapping[str, Runbook]
    registry: Registry

    @property
    def bots(self) -> int:
        """Number of registered bots: the fleet size for relative limits."""
        return sum(target.kind in NAMED_BOTS for target in self.registry)

    def runbook(self, alert: str) -> Runbook | None:
        """Return the runbook of an alert, or None."""
        return self.runbooks.get(alert)

    def target(self, alert: str, labels: Mapping[str, str]) -> Target | None:
        """Return the registered target of the alert's label, or None."""
        book = self.runbooks.get(alert)
        return self.registry.find(labels.get(book.target_label, "")) if book else None

    def with_target(self, alert: Alert) -> FiringAlert:
        """Return a firing alert with its registered target."""
        target = self.target(alert.name, alert.labels)
        return FiringAlert(alert=alert, target=target.name if target else None)


FENCE = "---\n"
PAGE_AFTER = ("0s", "5m", "15m", "never")


class _Step(msgspec.Struct, forbid_unknown_fields=True):
    action: str
    timeout: str
    verify_within: str
    params: dict[str, str] = msgspec.field(name="with", default_factory=dict)
    approval: Literal["required"] | None = None
    while_halted: bool = False


class _Limits(msgspec.Struct, forbid_unknown_fields=True):
    cooldown: str = "20s"
    attempts: int = 4
    window: str = "1h"


class _Verify(msgspec.Struct, forbid_unknown_fields=True):
    query: str
    duration: str = msgspec.field(name="for", default="5s")


class _Drill(msgspec.Struct, forbid_unknown_fields=True):
    fault: str
    recover_within: str


class _FrontMatter(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    alert: str
    page_after: str
    target: str = "bot"
    steps: list[_Step] = []
    limits: _Limits = msgspec.field(default_factory=_Limits)
    observe_only: bool = False
    unless: list[str] = []
    verify: _Verify | None = None
    drill: _Drill | None = None


def load_runbooks(folder: Path) -> dict[str, Runbook]:
    """Return all runbooks by alert name.

    Raises:
        ConfigError: the folder is missing, or a file is invalid.
    """
    if not folder.is_dir():
        raise ConfigError(str(folder), "", "folder not found", "set `runbooks` in settings")
    books = [parse_runbook(path.read_text("utf-8"), path) for path in sorted(folder.glob("*.md"))]
    return {book.alert: book for book in books}


def parse_runbook(text: str, path: Path) -> Runbook:
    """Read one runbook; the file's name must be its alert's."""
    where = str(path)
    header = _front_matter(text, where)
    if header.version != 1:
        raise ConfigError(
            where, "version", f"unsupported version {header.version}", "write `version: 1`"
        )
    if header.alert != path.stem:
        raise ConfigError(where, "alert", f"{header.alert} is not the file's name", "rename one")
    if header.page_after not in PAGE_AFTER:
        raise ConfigError(
            where, "page_after", f"{header.page_after!r}", f"one of {', '.join(PAGE_AFTER)}"
        )
    if header.steps and header.verify is None:
        raise ConfigError(where, "verify", "steps without it cannot succeed", "add a query")
    return Runbook(
        alert=header.alert,
        target_label=header.target,
        page_after=header.page_after,
        steps=tuple(_step(step, index, where) for index, step in enumerate(header.steps)),
        limits=_limits(header.limits, where),
        observe_only=header.observe_only,
        unless=tuple(header.unless),
        verify=_verify(header.verify, where) if header.verify else None,
        drill=_drill(header.drill, where) if header.drill else None,
    )


def _limits(limits: _Limits, where: str) -> Limits:
    window = parse_duration(limits.window, where, "limits.window")
    if window > LONGEST_WINDOW:
        raise ConfigError(where, "limits.window", f"{limits.window} is too long", "at most 1d")
    if limits.attempts < 1:
        raise ConfigError(where, "limits.attempts", "it must be at least 1", "or remove the steps")
    cooldown = parse_duration(limits.cooldown, where, "limits.cooldown")
    if cooldown > LONGEST_WINDOW:
        raise ConfigError(where, "limits.cooldown", f"{limits.cooldown} is too long", "at most 1d")
    return Limits(cooldown=cooldown, attempts=limits.attempts, window=window)


def _verify(verify: _Verify, where: str) -> VerifyQuery:
    duration = parse_duration(verify.duration, where, "verify.for")
    return VerifyQuery(query=verify.query, duration=duration)


def _drill(drill: _Drill, where: str) -> Drill:
    within = parse_duration(drill.recover_within, where, "drill.recover_within")
    return Drill(fault=drill.fault, recover_within=within)


def _front_matter(text: str, where: str) -> _FrontMatter:
    parts = text.split(FENCE, 2)
    if len(parts) != 3 or parts[0]:  # noqa: PLR2004 - before, between and after the two fences
        raise ConfigError(where, "", "missing front matter", "begin the file with --- … ---")
    try:
        return msgspec.convert(load_yaml(parts[1]), _FrontMatter)
    except yaml.YAMLError as error:
        raise ConfigError(
            where, "front matter", f"not YAML: {problem_of(error)}", "correct it"
        ) from error
    except msgspec.ValidationError as error:
        raise ConfigError(
            where, "front matter", str(error), "see docs/runbooks.md for the keys"
        ) from error


def _step(step: _Step, index: int, where: str) -> RunbookStep:
    key = f"steps[{index}]"
    kind = ACTIONS.get(step.action)
    if kind is None:
        known = ", ".join(sorted(ACTIONS))
        fix = f"one of {known}"
        raise ConfigError(where, f"{key}.action", f"{step.action!r} does not exist", fix)
    if kind.manual_only:
        problem = f"{step.action} is manual only"
        raise ConfigError(where, f"{key}.action", problem, "remove the step")
    if set(step.params) != kind.params:
        wanted = ", ".join(sorted(kind.params)) or "nothing"
        raise ConfigError(where, f"{key}.with", f"{step.action} takes {wanted}", "correct `with`")
    if step.approval and kind.delivery is DeliverySemantics.SAFE_DIRECTION:
        problem = f"{step.action} is a safe action and needs no approval"
        raise ConfigError(where, f"{key}.approval", problem, "remove it")
    return RunbookStep(
        action=step.action,
        params=step.params,
        timeout=parse_duration(step.timeout, where, f"{key}.timeout"),
        verify_within=parse_duration(step.verify_within, where, f"{key}.verify_within"),
        delivery=kind.delivery,
        kinds=kind.kinds,
        approval=step.approval is not None or kind.two_person_approval,
        while_halted=step.while_halted,
    )
