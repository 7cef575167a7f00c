"""The record of a game day, and the page generated from it.

    python -m trading_ops_lab.drills.gameday_page FOLDER

regenerates the page next to the record.

Times are seconds since the injection, and are attributed as follows:

- until the reconciler *received* the alert: Prometheus and Alertmanager (the scrape, the rule's
  range and `for`, the notification);
- from then until it *closed* the incident: trading-ops. *Verification* is the part from the end of
   the last action until the verify query had held.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from trading_ops.errors import SetupError
from trading_ops_lab.drills.recorded_drills import (
    GameDayRecord,
    Machine,
    RecordedDisaster,
    RecordedDrill,
)

FILE = "gameday.json"
PAGE = "gameday.md"
LOCAL = "alpha"
"""The bot of the local stack."""
NEVER = "-"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One table: a heading, the columns' names, and rows of cells."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def grids(drills: Sequence[RecordedDrill]) -> list[Grid]:
    """Return the tables of a day."""
    absent = [drill for drill in drills if drill.not_possible]
    drills = [drill for drill in drills if not drill.not_possible]
    waited = [drill for drill in drills if drill.during]
    others = [
        drill for drill in drills if not (drill.page_only or drill.not_remediated or drill.during)
    ]
    remediated = [drill for drill in others if not drill.escalated]
    escalated = [drill for drill in others if drill.escalated]
    page_only = [drill for drill in drills if drill.page_only]
    paused = {(drill.alert, drill.target): drill for drill in drills if drill.paused}
    found = [
        Grid(
            title="Auto-remediated",
            columns=(
                *("alert", "injected", "detected", "received", "acted", "verified", "closed"),
                *(
                    "limit",
                    "alerting",
                    "remediation",
                    "verification",
                    "automation paused",
                    "result",
                ),
            ),
            rows=[
                _recovered(drill, paused.get((drill.alert, drill.target))) for drill in remediated
            ],
        ),
        Grid(
            title="Suppressed until the cause was resolved, then remediated",
            columns=(
                *("alert", "during", "injected", "detected", "received", "waited", "fault removed"),
                *("acted", "verified", "closed", "limit", "result"),
            ),
            rows=[_waited(drill) for drill in waited],
        ),
        Grid(
            title="Escalated after failed steps",
            columns=(
                *("alert", "injected", "detected", "received", "acted", "escalated", "settled"),
                *("closed", "limit", "automation paused", "result"),
            ),
            rows=[_handed(drill, paused.get((drill.alert, drill.target))) for drill in escalated],
        ),
        Grid(
            title="Page-only",
            columns=(
                *(
                    "alert",
                    "injected",
                    "detected",
                    "received",
                    "noticed",
                    "fault removed",
                    "closed",
                ),
                *("limit", "alerting", "reconciler", "result"),
            ),
            rows=[_left(drill) for drill in page_only],
        ),
        Grid(
            title="Not run: this machine does not support them",
            columns=("alert", "why"),
            rows=[(_subject(drill), drill.problem) for drill in absent],
        ),
    ]
    return [grid for grid in found if grid.rows]


def summary(drills: Sequence[RecordedDrill]) -> list[str]:
    """Return the day in sentences."""
    absent = sum(drill.not_possible for drill in drills)
    drills = [drill for drill in drills if not drill.not_possible]
    regular = [drill for drill in drills if not (drill.not_remediated or drill.during)]
    waited = [drill for drill in drills if drill.during]
    remediated = [drill for drill in regular if not (drill.page_only or drill.escalated)]
    page_only = [drill for drill in regular if drill.page_only]
    back = {
        "with automation paused": [drill for drill in drills if drill.paused],
        "while the alert was silenced": [drill for drill in drills if drill.silenced],
    }
    good = sum(drill.passed for drill in regular)
    sentences = [f"{good} of {len(regular)} drills passed within their limits."]
    if absent:
        sentences.append(f"{absent} were not run: this machine does not support them.")
    for how, runs in back.items():
        if runs:
            stayed = sum(drill.passed for drill in runs)
            sentences.append(f"{stayed} of {len(runs)} did not recover, and no action ran, {how}.")
    if waited:
        good = sum(drill.passed for drill in waited)
        sentences.append(
            f"{good} of {len(waited)} suppressed until the cause was resolved, then remediated."
        )
    escalated = [drill for drill in regular if drill.escalated]
    if escalated:
        good = sum(drill.passed for drill in escalated)
        sentences.append(f"{good} of {len(escalated)} escalated after failed steps.")
    if remediated:
        shares: dict[str, Callable[[RecordedDrill], float | None]] = {
            "closed after": lambda drill: drill.total_seconds,
            "alerting": lambda drill: drill.alerting_seconds,
            "remediation": lambda drill: drill.remediation_seconds,
            "remediation without verification": lambda drill: (
                drill.remediation_without_verification
            ),
        }
        spread = "; ".join(f"{name} {_spread(remediated, of)}" for name, of in shares.items())
        sentences.append(f"Auto-remediated, median and worst: {spread}.")
    if page_only:
        sentences.append(
            "Page-only, median and worst: "
            f"received {_spread(page_only, lambda drill: drill.alerting_seconds)}; "
            "recorded as page-only after "
            f"{_spread(page_only, lambda drill: drill.remediation_seconds)}."
        )
    return sentences


def page(record: GameDayRecord) -> str:
    """Return the page, which is derived from the record only."""
    drills = record.all_drills
    lines = [
        "# Game day",
        "",
        "Generated by `make gameday` from `gameday.json`.",
        "",
        *(line for run in record.runs for line in _run(run, alone=not record.before)),
        *(f"- {sentence}" for sentence in summary(drills)),
        *disaster_sentence(record),
        "",
        *READING,
    ]
    for grid in grids(drills):
        lines += ["", f"## {grid.title}", "", *_markdown(grid.columns, grid.rows)]
    if record.last_disaster:
        lines += ["", "## Disaster recovery", "", *_disaster(record.last_disaster)]
    run = [drill for drill in drills if not (drill.not_remediated or drill.not_possible)]
    known = {_named(drill): drill for drill in run}
    lines += ["", "## Faults and evidence", ""]
    seen = [
        (alert, drill.broken, drill.evidence or NEVER) for alert, drill in sorted(known.items())
    ]
    lines += _markdown(("alert", "fault", "evidence"), seen)
    return "\n".join(lines) + "\n"


def disaster_sentence(record: GameDayRecord) -> list[str]:
    """Return the result of the drill DisasterRecovery as a list item, if it was run."""
    found = record.last_disaster
    if found is None:
        return []
    verb = "passed" if found.passed else "failed"
    seconds, goal = found.seconds, found.limit_seconds
    return [
        f"- Disaster recovery {verb}: ready {seconds:.1f} s after the loss (goal {goal:.0f} s)."
    ]


def _disaster(found: RecordedDisaster) -> list[str]:
    rows = [(step.stage, f"{step.seconds:.2f}", step.note) for step in found.timeline]
    return _markdown(("stage", "seconds since the loss", "what"), rows)


def _run(run: GameDayRecord, *, alone: bool) -> list[str]:
    """Return time, versions and machine of a run; and its drills, if there were several runs."""
    versions = ", ".join(f"{name} {version or 'unknown'}" for name, version in run.versions.items())
    minutes = (run.ended_at - run.began_at).total_seconds() / 60
    changes = " with uncommitted changes" if run.changed else ""
    disaster = ["DisasterRecovery"] if run.disaster else []
    names = ", ".join([*sorted({_subject(drill) for drill in run.drills}), *disaster])
    return [
        f"- When: {run.began_at:%Y-%m-%d %H:%M} UTC, {minutes:.0f} minutes",
        f"- What: commit `{run.commit or 'unknown'}`{changes}; {versions}",
        f"- Where: {_where(run.machine)}",
        *([] if alone else [f"- Which: {names}"]),
        "",
    ]


def read(folder: Path) -> GameDayRecord | None:
    """Return the record in a folder, or None.

    Raises:
        SetupError: it cannot be read.
    """
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=GameDayRecord)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise SetupError(f"{path}: {error}. Fix: correct or remove it") from error


def write(folder: Path, record: GameDayRecord) -> None:
    """Write the record and its page into a folder.

    Raises:
        SetupError: it cannot be written.
    """
    text = msgspec.json.format(msgspec.json.encode(record), indent=1).decode() + "\n"
    try:
        (folder / FILE).write_text(text, encoding="utf-8")
        (folder / PAGE).write_text(page(record), encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}. Fix: name another folder") from error


READING = (
    "Seconds since the injection. *Alerting* is from injection to received: the scrape, the rule's",
    "range and `for`, and the notification. *Remediation* is from received to closed; of this,",
    "*verification* is from the end of the last action until the verify query had held on newer",
    "samples. With automation paused, the same fault must last for the whole limit. Page-only",
    "faults are not remediated: *reconciler* is from received to noticed. The drill then removes",
    "the fault, and the alert ends by its rule's range and `keep_firing_for`. A fault that stops",
    "the reconciler or Alertmanager is removed first and received afterwards.",
)


def _where(machine: Machine) -> str:
    memory = f"{machine.memory_bytes / 2**30:.0f} GiB"
    return f"{machine.system}, {machine.cores} cores, {memory}"


def _recovered(drill: RecordedDrill, twin: RecordedDrill | None) -> list[str]:
    stages = (
        drill.first("detected"),
        drill.alerting_seconds,
        drill.first("acted"),
        drill.last("verified"),
    )
    shares = (drill.alerting_seconds, drill.remediation_seconds, drill.verification_seconds)
    return [
        _subject(drill),
        *map(_cell, (0.0, *stages, drill.total_seconds)),
        f"{drill.limit_seconds:.0f}",
        *map(_cell, shares),
        NEVER if twin is None else _stayed(twin),
        _verdict(drill),
    ]


def _waited(drill: RecordedDrill) -> list[str]:
    stages = ("detected", "received", "waited", "removed", "acted")
    times = (0.0, *map(drill.first, stages), drill.last("verified"), drill.total_seconds)
    limit = f"{drill.limit_seconds:.0f}"
    return [_subject(drill), drill.during, *map(_cell, times), limit, _verdict(drill)]


def _handed(drill: RecordedDrill, twin: RecordedDrill | None) -> list[str]:
    stages = ("detected", "received", "acted", "escalated", "settled")
    times = (0.0, *map(drill.first, stages), drill.total_seconds)
    stayed = NEVER if twin is None else _stayed(twin)
    return [
        _subject(drill),
        *map(_cell, times),
        f"{drill.limit_seconds:.0f}",
        stayed,
        _verdict(drill),
    ]


def _named(drill: RecordedDrill) -> str:
    return f"{_subject(drill)}, during {drill.during}" if drill.during else _subject(drill)


def _subject(drill: RecordedDrill) -> str:
    """Return the alert, and the bot if it is not that of the local stack."""
    return drill.alert if drill.target == LOCAL else f"{drill.alert} on {drill.target}"


def _left(drill: RecordedDrill) -> list[str]:
    stages = [drill.first(stage) for stage in ("detected", "received", "noticed", "removed")]
    return [
        _subject(drill),
        *map(_cell, (0.0, *stages, drill.total_seconds)),
        f"{drill.limit_seconds:.0f}",
        *map(_cell, (drill.alerting_seconds, drill.remediation_seconds)),
        _verdict(drill),
    ]


def _stayed(twin: RecordedDrill) -> str:
    return f"broken after {twin.limit_seconds:.0f}" if twin.passed else f"failed: {twin.problem}"


def _verdict(drill: RecordedDrill) -> str:
    return "closed" if drill.passed else f"failed: {drill.problem}"


def _cell(seconds: float | None) -> str:
    return NEVER if seconds is None else f"{seconds:.2f}"


def _spread(drills: Iterable[RecordedDrill], of: Callable[[RecordedDrill], float | None]) -> str:
    known = [seconds for drill in drills if (seconds := of(drill)) is not None]
    return f"{median(known):.2f} s and {max(known):.2f} s" if known else "unknown"


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(columns), "|" + "---|" * len(columns), *map(line, rows)]


if __name__ == "__main__":
    home = Path(sys.argv[1])
    write(home, msgspec.json.decode((home / FILE).read_bytes(), type=GameDayRecord))
