"""Outdated and vulnerable packages of this installation.

`pip` and `pip-audit` do the work in separate processes. Without a network or pip-audit, the report
says that the state is unknown; it never says that all is well.
"""

import sysconfig
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from trading_ops.domain.report import Finding
from trading_ops.security import tools

OUTDATED_SECONDS = 120
AUDIT_SECONDS = 600
REQUEST_SECONDS = 15
ASK_INDEX = ("--disable-pip-version-check", "index", "versions", "pip", "--retries=0")
LISTED = 10
"""Maximum outdated packages named in the sentence."""


T = TypeVar("T")


class _Outdated(msgspec.Struct):
    name: str
    version: str
    latest_version: str


class _Vulnerability(msgspec.Struct):
    id: str
    fix_versions: list[str] = []


class _Audited(msgspec.Struct):
    name: str
    version: str = ""
    vulns: list[_Vulnerability] = []
    skip_reason: str = ""


class _Audit(msgspec.Struct):
    dependencies: list[_Audited]


def outdated() -> Iterator[Finding]:
    """Yield one finding if newer releases of installed packages exist."""
    command = ["--disable-pip-version-check", "list", "--outdated", "--format=json"]
    command += ["--retries=0", f"--timeout={REQUEST_SECONDS}"]
    try:
        # Without an index, `pip list --outdated` finds nothing and succeeds.
        tools.run("pip", [*ASK_INDEX, f"--timeout={REQUEST_SECONDS}"], OUTDATED_SECONDS, ours=True)
        answer = tools.run("pip", command, OUTDATED_SECONDS, ours=True)
        found = _decode(answer, list[_Outdated])
    except tools.Unanswered as error:
        yield tools.not_checked("outdated packages", str(error))
        return
    if found:
        some = [
            f"{package.name} {package.version} → {package.latest_version}"
            for package in found[:LISTED]
        ]
        rest = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        yield Finding(
            topic="outdated packages",
            subject=str(len(found)),
            text=f"{len(found)} packages are outdated: {', '.join(some)}{rest}",
        )


def vulnerable(database: str) -> Iterator[Finding]:
    """Yield the packages with a known vulnerability.

    Args:
        database: URL of an OSV API; empty: packages are not checked.
    """
    if not database:
        yield tools.not_checked("vulnerable packages", "vulnerability_database is empty")
        return
    command = ["--format=json", "--progress-spinner=off", "--desc=off", "--aliases=off"]
    command += ["--vulnerability-service=osv", f"--osv-url={database}", "--skip-editable"]
    command += [f"--timeout={REQUEST_SECONDS}", f"--path={sysconfig.get_path('purelib')}"]
    try:
        # It exits with 1 both when it finds something and when the request fails.
        answer = tools.run("pip-audit", command, AUDIT_SECONDS, accepted={0, 1})
        audit = _decode(answer, _Audit)
    except tools.Unanswered as error:
        yield tools.not_checked("vulnerable packages", str(error))
        return
    for dependency in audit.dependencies:
        for vulnerability in dependency.vulns:
            fix = (
                f"update to {' or '.join(vulnerability.fix_versions)}"
                if vulnerability.fix_versions
                else "no fix"
            )
            yield Finding(
                topic="vulnerable package",
                subject=dependency.name,
                text=f"{dependency.name} {dependency.version} has {vulnerability.id}: {fix}",
                fails=True,
            )


def _decode(answer: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer, type=kind)
    except msgspec.MsgspecError as error:
        raise tools.Unanswered(f"unknown answer: {error}") from error
