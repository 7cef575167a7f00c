"""Bugs that the suite must catch: each breaks one promise in the way in which it is usually broken.

A bug is text that is found exactly once in a file, and what takes its place: the suite's own test
says so when the code has moved on, so that no bug is planted into nothing.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Change:
    """One replacement in one file of the product."""

    path: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Make it; refuse when the text is not there exactly once."""
        file = root / self.path
        text = file.read_text("utf-8")
        found = text.count(self.old)
        if found != 1:
            raise ValueError(f"{self.path}: found {found} times, not once: {self.old!r}")
        file.write_text(text.replace(self.old, self.new), "utf-8")


@dataclass(frozen=True, kw_only=True)
class Bug:
    """One bug, and the tests of which at least one must fail."""

    name: str
    what: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]


_SERVICE = "tests/service/reconciler"
_RECORDER = "tests/unit/instrument"
_WATCH = "tests/service/holds/test_agent_monitor.py"
_RULES = "tests/rules/test_prometheus.py::test_the_rules_do_what_their_unit_tests_say"
_HOLDING = "tests/service/holds/test_holds.py"

BUGS = (
    Bug(
        name="200-before-commit",
        what="a notification is acknowledged before it is stored",
        changes=(
            Change(
                path="trading_ops/reconciler/intake.py",
                old="        await self.writer.take_in(add)\n",
                new='        __import__("asyncio").ensure_future(self.writer.take_in(add))\n',
            ),
        ),
        tests=(f"{_SERVICE}/test_api.py::test_no_200_without_a_database",),
    ),
    Bug(
        name="no-fence-check",
        what="an executor does what a replaced sender orders",
        changes=(
            Change(
                path="trading_ops/agent/fence.py",
                old="            if fence < highest:\n                raise StaleFence(highest)\n"
                "            if attempt_id is None:\n",
                new="            fence = max(fence, highest)\n            if attempt_id is None:\n",
            ),
        ),
        tests=("tests/service/agent",),
    ),
    Bug(
        name="budget-forgotten",
        what="what was tried for an earlier incident, or before a restart, is not counted",
        changes=(
            Change(
                path="trading_ops/reconciler/state.py",
                old='target=self.of_target.get(incident.target or "", _NONE)',
                new="target=self.of_incident.get(incident.id, _NONE)",
            ),
            Change(
                path="trading_ops/store/attempts.py",
                old="            target=tuple(of_target(connection, target, "
                "since=now - LONGEST_WINDOW)),\n",
                new="",
            ),
        ),
        tests=(f"{_SERVICE}/test_loop.py::test_budgets_survive_and_can_be_reset",),
    ),
    Bug(
        name="resolved-acts",
        what="an alert that ended is treated as one that fires",
        changes=(
            Change(
                path="trading_ops/domain/observation.py",
                old="return AlertState.ABSENT if believed else AlertState.UNKNOWN",
                new="return AlertState.FIRING if believed else AlertState.UNKNOWN",
            ),
        ),
        tests=(f"{_SERVICE}/test_loop.py", "tests/unit/domain/test_observation.py"),
    ),
    Bug(
        name="started-after-effect",
        what="the effect is begun before `started` is committed",
        changes=(
            Change(
                path="trading_ops/reconciler/reconcile.py",
                old="                events.rewind(connection, before)"
                "  # not started, so not decided\n",
                new="                events.rewind(connection, before)\n"
                "            else:\n"
                "                work = self.runner.perform(attempt, gate_input.step, target)\n"
                "                running.call_soon_threadsafe("
                "self.workers.spawn, attempt.id, work)\n"
                '                __import__("time").sleep(0.05)\n',
            ),
            Change(
                path="trading_ops/reconciler/reconcile.py",
                old="        work = self.runner.perform(attempt, gate_input.step, target)\n"
                "        self.workers.spawn(attempt.id, work, incident_id=incident.id)\n",
                new="",
            ),
            Change(
                path="trading_ops/reconciler/reconcile.py",
                old="        def start_and_record(connection: Connection) -> Attempt | None:\n",
                new='        running = __import__("asyncio").get_running_loop()\n\n'
                "        def start_and_record(connection: Connection) -> Attempt | None:\n",
            ),
        ),
        tests=("tests/crash/test_crash.py::test_nothing_is_lost_repeated_or_stuck",),
    ),
    Bug(
        name="probe-without-fence",
        what="a probe says `not done` without shutting out what is still on its way",
        changes=(
            Change(
                path="trading_ops/actions/base.py",
                old="    await executor.raise_fence(call.fence)\n",
                new="",
            ),
        ),
        tests=(f"{_SERVICE}/test_crash.py", "tests/actions/test_contract.py"),
    ),
    Bug(
        name="one-shot-retried",
        what="a one-shot that was not answered is sent again",
        changes=(
            Change(
                path="trading_ops/reconciler/execute.py",
                old="await (act(call) if once else _retry(act, call))",
                new="await _retry(act, call)",
            ),
        ),
        tests=("tests/crash/test_crash.py::test_nothing_is_lost_repeated_or_stuck",),
    ),
    Bug(
        name="actor-not-chained",
        what="who did it can be changed in the audit log without trace",
        changes=(
            Change(
                path="trading_ops/store/audit_chain.py",
                old="_canonical_json([previous, seq, *fields])",
                new="_canonical_json([previous, seq, *fields[:4], *fields[5:]])",
            ),
        ),
        tests=("tests/store/test_chain.py", "tests/property/test_tampering.py"),
    ),
    Bug(
        name="token-by-prefix",
        what="the beginning of a token is enough",
        changes=(
            Change(
                path="trading_ops/api/auth.py",
                old="hmac.compare_digest(digest, entry.digest)",
                new="entry.digest.startswith(digest[:0])",
            ),
        ),
        tests=(f"{_SERVICE}/test_api.py", "tests/service/api/test_access.py"),
    ),
    Bug(
        name="silence-ignored",
        what="what a person has silenced is acted on",
        changes=(
            Change(
                path="trading_ops/domain/observation.py",
                old="    if routed.silenced:\n        return AlertState.SILENCED\n",
                new="",
            ),
        ),
        tests=(f"{_SERVICE}/test_loop.py::test_silenced_means_suppression",),
    ),
    Bug(
        name="quarantine-drops",
        what="what cannot be read is thrown away",
        changes=(
            Change(
                path="trading_ops/reconciler/intake.py",
                old="NotificationState.PARSED if entry.error is None "
                "else NotificationState.QUARANTINED",
                new="NotificationState.PARSED",
            ),
        ),
        tests=(f"{_SERVICE}/test_api.py::test_what_cannot_be_read_is_kept_in_quarantine",),
    ),
    Bug(
        name="no-lease-check",
        what="a replica that was frozen starts what another has taken over",
        changes=(
            Change(
                path="trading_ops/store/leases.py",
                old="    return until is not None and until > moment + margin\n",
                new="    return True\n",
            ),
        ),
        tests=("tests/store/test_claims.py",),
    ),
    Bug(
        name="unreachable-is-recovered",
        what="a Prometheus that does not answer counts as success",
        changes=(
            Change(
                path="trading_ops/reconciler/verify.py",
                old='return _Answer(age=float("inf"), holds=False, detail=problem)',
                new="return _Answer(age=0.0, holds=True, detail=problem)",
            ),
        ),
        tests=(f"{_SERVICE}/test_verify.py",),
    ),
    Bug(
        name="second-writer",
        what="two processes write to one SQLite database",
        changes=(
            Change(
                path="trading_ops/store/engine.py",
                old="fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
                new="fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)",
            ),
        ),
        tests=("tests/store/test_migrations.py", "tests/store/test_writer.py"),
    ),
    Bug(
        name="lossy-counter",
        what="between reading a count and writing it back, another thread has its turn",
        changes=(
            Change(
                path="trading_ops/instrument/children.py",
                old='raise ValueError("a counter cannot decrease")\n        self.value += amount\n',
                new='raise ValueError("a counter cannot decrease")\n        before = self.value\n'
                "        time.sleep(0)\n        self.value = before + amount\n",
            ),
        ),
        tests=(f"{_RECORDER}/test_storm.py",),
    ),
    Bug(
        name="lossy-tick",
        what="the tick's own counting lets another thread in between",
        changes=(
            Change(
                path="trading_ops/instrument/topics/market_data.py",
                old="        feed.messages.value += 1\n",
                new="        before = feed.messages.value\n"
                '        __import__("time").sleep(0)\n        feed.messages.value = before + 1\n',
            ),
        ),
        tests=(f"{_RECORDER}/test_storm.py",),
    ),
    Bug(
        name="born-twice",
        what="two threads that ask for the same new series get one each",
        changes=(
            Change(
                path="trading_ops/instrument/family.py",
                old="        with self._lock:\n"
                "            values = self._bounds.within(requested)\n"
                "            child = self._children.get(values)\n",
                new="        if True:\n            values = self._bounds.within(requested)\n"
                "            child = self._children.get(values)\n"
                '            __import__("time").sleep(0)\n',
            ),
        ),
        tests=(f"{_RECORDER}/test_storm.py", f"{_RECORDER}/test_recorder.py"),
    ),
    Bug(
        name="stale-text",
        what="a block that was quiet once keeps its text for ever",
        changes=(
            Change(
                path="trading_ops/instrument/block.py",
                old="len(before) == len(now) and all(map(operator.is_, before, now))",
                new="len(before) == len(now)",
            ),
        ),
        tests=(f"{_RECORDER}/test_exposition.py",),
    ),
    Bug(
        name="creation-times",
        what="prometheus_client's own series of creation times are exported",
        changes=(
            Change(
                path="trading_ops/instrument/exposition.py",
                old="for sample in family.samples if sample.name != created]",
                new="for sample in family.samples]",
            ),
        ),
        tests=(f"{_RECORDER}/test_exposition.py",),
    ),
    Bug(
        name="allow-list-dropped",
        what="a bot may export the metrics of the reconciler and the exporter",
        changes=(
            Change(
                path="prometheus/prometheus.yml",
                old="regex: trading_(exporter|host|",
                new="regex: never_(exporter|host|",
            ),
        ),
        tests=("tests/rules/test_claims.py",),
    ),
    Bug(
        name="own-delay-is-silence",
        what="the silence watch counts its own delays as the bot's silence",
        changes=(
            Change(
                path="trading_ops/holds/agent_probe.py",
                old='the delay was ours."""\n        self._reset(now)\n',
                new='the delay was ours."""\n',
            ),
        ),
        tests=("tests/unit/reconciler/test_agent_probe.py",),
    ),
    Bug(
        name="stops-forgotten",
        what="a restart of the reconciler resets the budget of stops",
        changes=(
            Change(
                path="trading_ops/holds/agent_monitor.py",
                old="probe.stops = max(probe.stops, stops, key=len)",
                new="probe.stops = max(probe.stops, [], key=len)",
            ),
        ),
        tests=(f"{_WATCH}::test_the_budget_of_stops_outlives_the_reconciler",),
    ),
    Bug(
        name="start-in-the-future",
        what="a start in the future, which anyone can claim, holds a restart back until then",
        changes=(
            Change(
                path="trading_ops/store/incidents.py",
                old='"starts_at": min(alert.starts_at, received_at)',
                new='"starts_at": alert.starts_at',
            ),
        ),
        tests=("tests/store/test_aggregates.py",),
    ),
    Bug(
        name="absent-once",
        what="an alert that is missing in one answer closes its incident",
        changes=(
            Change(
                path="trading_ops/domain/observation.py",
                old="believed = absent and _absence_counts(incident, last, prometheus, snapshot)",
                new="believed = absent",
            ),
        ),
        tests=("tests/unit/domain/test_observation.py",),
    ),
    Bug(
        name="foreign-alert",
        what="an alert that Alertmanager routes to another team becomes an incident",
        changes=(
            Change(
                path="trading_ops/clients/alertmanager.py",
                old='get("/api/v2/alerts", params=self._ours)',
                new='get("/api/v2/alerts")',
            ),
        ),
        tests=("tests/service/reconciler/test_scope.py",),
    ),
    Bug(
        name="token-for-anyone",
        what="a token is sent to whichever user listens on the port",
        changes=(
            Change(
                path="trading_ops/listener.py",
                old="    if found is None or (found and found <= trusted):\n",
                new="    if True:\n",
            ),
        ),
        tests=("tests/service/clients/test_listener.py",),
    ),
    Bug(
        name="released-by-the-bot",
        what="a bot that says so releases the halt of a person",
        changes=(
            Change(
                path="trading_ops/holds/sync.py",
                old="if orderer is None and not allowed and holds.is_persons(connection, hold):",
                new="if False:",
            ),
        ),
        tests=(f"{_HOLDING}::test_a_persons_hold_that_is_released_at_the_bot_is_placed_again",),
    ),
    Bug(
        name="no-mac-is-fine",
        what="`audit verify` succeeds although all MACs were removed",
        changes=(
            Change(
                path="trading_ops/audit/report.py",
                old="    if verdict.unchained != before_chain:\n",
                new="    if False:\n",
            ),
        ),
        tests=("tests/unit/cli/test_audit.py",),
    ),
    Bug(
        name="loss-not-a-number",
        what="a bot whose loss is NaN switches off the fleet's loss limit",
        changes=(
            Change(
                path="prometheus/rules/risk.yml",
                old='(last_over_time(trading_daily_loss{job="trading-bot"}[10m]) >= 0)\n',
                new='(last_over_time(trading_daily_loss{job="trading-bot"}[10m]))\n',
            ),
        ),
        tests=(f"{_RULES}[claims]",),
    ),
    Bug(
        name="given-up",
        what="the supervisor waits longer with each death, until it never starts a process again",
        changes=(
            Change(
                path="trading_ops_lab/supervisor/restart_backoff.py",
                old="    return min(pauses.first_pause_seconds * 2.0 ** (count - 1), "
                "pauses.longest_pause_seconds)\n",
                new="    return pauses.first_pause_seconds * 2.0 ** (count - 1)\n",
            ),
        ),
        tests=("tests/unit/stack/test_restart_backoff.py",),
    ),
)
