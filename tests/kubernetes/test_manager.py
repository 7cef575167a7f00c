"""The service manager `kubernetes` against a fake API server over TLS."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.cluster import Cluster
from trading_ops.errors import SetupError
from trading_ops.services.kubernetes import Kubernetes, role
from trading_ops.services.kubernetes_api import KubernetesApi
from trading_ops.services.manager import ManagerUnavailable

WITHIN = timedelta(seconds=20)
SOON = timedelta(seconds=1)
SET, DEPLOYMENT = "bots/statefulset/alpha", "bots/deployment/alpha"
KINDS = pytest.mark.parametrize("name", [SET, DEPLOYMENT])


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


@pytest.fixture
async def kubernetes(cluster: Cluster) -> AsyncIterator[Kubernetes]:
    runner, url = await cluster.serve()
    made = Kubernetes(KubernetesApi(url, cluster.account))
    yield made
    await made.close()
    await runner.cleanup()


def create(cluster: Cluster, name: str, **spec: Any) -> None:
    cluster.add(name.split("/")[1], **spec)


@KINDS
async def test_a_restart_makes_a_new_incarnation(
    cluster: Cluster, kubernetes: Kubernetes, name: str
) -> None:
    create(cluster, name)
    before = await kubernetes.status(name)
    assert before.running
    await kubernetes.restart(name, WITHIN)
    after = await kubernetes.status(name)
    assert after.running
    assert after.incarnation != before.incarnation


async def test_a_container_that_the_kubelet_restarted_is_a_new_incarnation(
    cluster: Cluster, kubernetes: Kubernetes
) -> None:
    """The pod keeps its UID."""
    create(cluster, SET)
    before = await kubernetes.status(SET)
    cluster.crash("OOMKilled", 137)
    after = await kubernetes.status(SET)
    assert after.running
    assert after.incarnation != before.incarnation


async def test_a_dead_container_reports_how_it_ended(
    cluster: Cluster, kubernetes: Kubernetes
) -> None:
    create(cluster, SET)
    cluster.crash("OOMKilled", 137, again="CrashLoopBackOff")
    found = await kubernetes.status(SET)
    assert not found.running
    assert found.state == "CrashLoopBackOff"
    assert "OOMKilled" in found.detail
    assert "137" in found.detail


@KINDS
async def test_a_stopped_bot_stays_stopped_until_it_is_started(
    cluster: Cluster, kubernetes: Kubernetes, name: str
) -> None:
    create(cluster, name)
    await kubernetes.stop(name, SOON)
    assert cluster.pods == []
    assert (await kubernetes.status(name)).state == "stopped"
    await kubernetes.start(name, WITHIN)
    assert (await kubernetes.status(name)).running
    await kubernetes.stop(name, SOON)
    await kubernetes.restart(name, WITHIN)
    assert (await kubernetes.status(name)).running


async def test_a_pod_that_was_replaced_meanwhile_is_left_alone(
    cluster: Cluster, kubernetes: Kubernetes
) -> None:
    """Deletion names the UID: the next pod has the same name."""
    create(cluster, SET)
    cluster.denied = {"DELETE"}  # hold the restart between its look and its deletion
    with pytest.raises(SetupError, match="--rbac"):
        await kubernetes.restart(SET, WITHIN)
    (verb, _, _, _, body) = cluster.requests[-1]
    assert verb == "DELETE"
    assert body["preconditions"] == {"uid": cluster.pod["metadata"]["uid"]}


async def test_a_pod_that_does_not_end_may_still_run(
    cluster: Cluster, kubernetes: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its host is cut off: it is not known, and not stopped."""
    monkeypatch.setattr("trading_ops.services.kubernetes.END_SECONDS", 0.1)
    create(cluster, SET)
    cluster.ends = False
    with pytest.raises(ManagerUnavailable, match="has not ended"):
        await kubernetes.stop(SET, SOON)
    assert (await kubernetes.status(SET)).running


@KINDS
async def test_a_pod_that_cannot_start_is_a_failure(
    cluster: Cluster, kubernetes: Kubernetes, name: str
) -> None:
    create(cluster, name)
    cluster.waiting = "ImagePullBackOff"
    with pytest.raises(SetupError, match="ImagePullBackOff"):
        await kubernetes.restart(name, WITHIN)


async def test_a_pod_that_is_late_is_not_known(cluster: Cluster, kubernetes: Kubernetes) -> None:
    create(cluster, SET)
    cluster.waiting = "ContainerCreating"
    with pytest.raises(TimeoutError):
        await kubernetes.restart(SET, SOON)


@pytest.mark.parametrize(
    ("name", "spec", "problem"),
    [
        (DEPLOYMENT, {"strategy": {"type": "RollingUpdate"}}, "Recreate"),
        (DEPLOYMENT, {"replicas": 2}, "2 replicas"),
        (SET, {"replicas": 3}, "3 replicas"),
        (SET, {"selector": {"matchExpressions": [{"key": "a"}]}}, "matchLabels"),
    ],
)
async def test_a_workload_that_may_run_two_bots_is_refused(
    cluster: Cluster, kubernetes: Kubernetes, name: str, spec: Any, problem: str
) -> None:
    create(cluster, name, **spec)
    for verb in (kubernetes.status(name), kubernetes.restart(name, WITHIN)):
        with pytest.raises(SetupError, match=problem):
            await verb
    assert all(method == "GET" for method, *_ in cluster.requests)


async def test_two_pods_are_not_known(cluster: Cluster, kubernetes: Kubernetes) -> None:
    create(cluster, SET)
    cluster.pods.append({**cluster.pod, "metadata": {"name": "other", "uid": "other"}})
    with pytest.raises(ManagerUnavailable, match="other"):
        await kubernetes.status(SET)


async def test_an_unknown_workload_is_named(cluster: Cluster, kubernetes: Kubernetes) -> None:
    create(cluster, SET)
    with pytest.raises(SetupError, match=r"not found.*Fix"):
        await kubernetes.status(DEPLOYMENT)


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_a_server_that_fails_is_unavailable(
    cluster: Cluster, kubernetes: Kubernetes, code: int
) -> None:
    create(cluster, SET)
    cluster.broken = code
    with pytest.raises(ManagerUnavailable):
        await kubernetes.status(SET)


async def test_a_renewed_token_is_used(cluster: Cluster, kubernetes: Kubernetes) -> None:
    create(cluster, SET)
    token = cluster.account / "token"
    valid = token.read_text()
    token.write_text("expired")
    with pytest.raises(SetupError):
        await kubernetes.status(SET)
    token.write_text(f"{valid}\n")
    assert (await kubernetes.status(SET)).running


async def test_a_server_of_another_authority_gets_no_token(
    cluster: Cluster, tmp_path: Path
) -> None:
    create(cluster, SET)
    other = tmp_path / "other"
    other.mkdir()
    stranger = Cluster(other)
    runner, url = await cluster.serve()
    wrong = Kubernetes(KubernetesApi(url, stranger.account))
    with pytest.raises(ManagerUnavailable):
        await wrong.status(SET)
    assert cluster.requests == []
    await asyncio.gather(wrong.close(), runner.cleanup())


@KINDS
async def test_the_printed_role_allows_what_is_done_and_no_more(
    cluster: Cluster, kubernetes: Kubernetes, name: str
) -> None:
    """Each request is allowed by a rule, and each rule is used by a request."""
    create(cluster, name)
    await kubernetes.restart(name, WITHIN)
    await kubernetes.stop(name, SOON)
    documents = list(yaml.safe_load_all(role("ops:trading-ops-node", [name])))
    assert [document["kind"] for document in documents] == ["Role", "RoleBinding"]
    granted = set()
    for rule in documents[0]["rules"]:
        for verb in rule["verbs"]:
            for named in rule.get("resourceNames", [""]):
                granted.add((rule["apiGroups"][0], rule["resources"][0], named, verb))
    assert {_needed(method, path) for method, path, *_ in cluster.requests} == granted


def _needed(method: str, path: str) -> tuple[str, str, str, str]:
    """The API group, resource, name and verb that a request needs."""
    parts = path.strip("/").split("/")
    group, rest = ("", parts[4:]) if parts[0] == "api" else (parts[1], parts[5:])
    named = rest[1] if len(rest) > 1 else ""
    resource = "/".join([rest[0], *rest[2:]])
    verb = {"GET": "get" if named else "list", "PATCH": "patch", "DELETE": "delete"}[method]
    return group, resource, named, verb
