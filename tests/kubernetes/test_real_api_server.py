"""The service manager `kubernetes` against a real API server, as its own service account.

Needs etcd on the PATH; TRADING_OPS_TEST_KUBERNETES names the folder with kube-apiserver and
kube-controller-manager (`make test-kubernetes BINARIES=FOLDER`).
"""

import os
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compose.composed import ROOT
from tests.kubernetes.real_cluster import Cluster, Kubelet, cluster
from tests.waiting import eventually
from trading_ops.errors import SetupError
from trading_ops.services.kubernetes import Kubernetes, role
from trading_ops.services.kubernetes_api import KubernetesApi
from trading_ops.services.manager import ManagerUnavailable

# Removed: the settings of our processes refuse a variable that they do not know.
BINARIES = os.environ.pop("TRADING_OPS_TEST_KUBERNETES", "")  # noqa: TID251 - of the test itself
pytestmark = [
    pytest.mark.kubernetes,
    pytest.mark.skipif(not BINARIES, reason="TRADING_OPS_TEST_KUBERNETES names no folder"),
    pytest.mark.skipif(not shutil.which("etcd"), reason="etcd is not installed"),
]

SPACE = "bots"
SET, DEPLOYMENT, OTHER = "bots/statefulset/alpha", "bots/deployment/beta", "bots/statefulset/gamma"
WITHIN = timedelta(seconds=60)


def workload(unit: str) -> dict[str, Any]:
    """A workload of one pod."""
    _, kind, name = unit.split("/")
    labels = {"app": name}
    pod = {"containers": [{"name": "bot", "image": "bot"}], "terminationGracePeriodSeconds": 5}
    spec: dict[str, Any] = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    spec |= {"serviceName": name} if kind == "statefulset" else {"strategy": {"type": "Recreate"}}
    kind = "StatefulSet" if kind == "statefulset" else "Deployment"
    meta = {"name": name, "namespace": SPACE}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec}


def lay_out(folder: Path, token: str, authority: Path) -> Path:
    """Write the folder of a service account, as a pod has it."""
    folder.mkdir()
    (folder / "token").write_text(token, encoding="ascii")
    (folder / "ca.crt").write_bytes(authority.read_bytes())
    return folder


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster with three workloads; the node's role names two of them."""
    async with cluster(BINARIES, tmp_path) as made:
        await made.create_namespace(SPACE)
        for unit in (SET, DEPLOYMENT, OTHER):
            await made.create(workload(unit))
        for document in yaml.safe_load_all(role(f"{SPACE}:node", [SET, DEPLOYMENT])):
            await made.create(document)
        yield made


@pytest.fixture
async def kubelet(api: Cluster) -> AsyncIterator[Kubelet]:
    async with Kubelet(api, SPACE).running() as made:
        yield made


@pytest.fixture
async def node(api: Cluster, kubelet: Kubelet, tmp_path: Path) -> AsyncIterator[Kubernetes]:
    """The service manager, with the token of the node's service account."""
    account = lay_out(tmp_path / "account", await api.token(SPACE, "node"), api.authority)
    made = Kubernetes(KubernetesApi(api.url, account))
    yield made
    await made.close()


async def until_running(node: Kubernetes, unit: str) -> str:
    """Return the incarnation once it runs."""

    async def incarnation() -> str | None:
        found = await node.status(unit)
        return found.incarnation if found.running else None

    return str(await eventually(incarnation, what=f"{unit} runs"))


async def pod_of(api: Cluster, name: str) -> dict[str, Any]:
    (pod,) = [pod for pod in await api.pods(SPACE) if pod["metadata"]["labels"]["app"] == name]
    return pod


async def test_it_drives_both_kinds_of_workload(
    api: Cluster, kubelet: Kubelet, node: Kubernetes
) -> None:
    """Restart, stop, start: each pod is a new incarnation, by the rights of the printed role."""
    for unit in (SET, DEPLOYMENT):
        before = await until_running(node, unit)
        await node.restart(unit, WITHIN)
        assert await until_running(node, unit) != before
        await node.stop(unit, timedelta(seconds=5))
        stopped = await node.status(unit)
        assert (stopped.running, stopped.state) == (False, "stopped")
        await node.start(unit, WITHIN)
        assert await until_running(node, unit)

    pod = await pod_of(api, "alpha")
    before = await until_running(node, SET)
    await kubelet.report(pod, restarts=1, ended={"reason": "OOMKilled", "exitCode": 137})
    assert await until_running(node, SET) != before  # the kubelet restarted the container
    ended = {"reason": "OOMKilled", "exitCode": 137}
    await kubelet.report(pod, waiting="CrashLoopBackOff", restarts=2, ended=ended)
    found = await node.status(SET)
    assert (found.running, found.state) == (False, "CrashLoopBackOff")
    assert "137" in found.detail


async def test_what_the_role_does_not_name_is_refused(
    api: Cluster, kubelet: Kubelet, node: Kubernetes
) -> None:
    """Another bot is neither read nor restarted, and a pod is only deleted under its UID."""
    for call in (node.status(OTHER), node.restart(OTHER, WITHIN)):
        with pytest.raises(SetupError, match="--rbac"):
            await call
    await until_running(node, SET)
    (other,) = [pod for pod in await api.pods(SPACE) if pod["metadata"]["labels"]["app"] == "gamma"]
    for name, uid in (
        (other["metadata"]["name"], other["metadata"]["uid"]),
        ("alpha-0", "of-an-earlier-pod"),
    ):
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        with pytest.raises((SetupError, ManagerUnavailable), match="refused DELETE"):
            await node._api.delete(f"/api/v1/namespaces/{SPACE}/pods/{name}", body)
    assert len(await api.pods(SPACE)) == 3


async def test_a_pod_on_a_node_that_is_cut_off_may_still_run(
    kubelet: Kubelet, node: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not known to have stopped, and no second pod is started."""
    monkeypatch.setattr("trading_ops.services.kubernetes.END_SECONDS", 0.1)
    await until_running(node, SET)
    kubelet.is_cut_off = True
    with pytest.raises(ManagerUnavailable, match="has not ended"):
        await node.stop(SET, timedelta(seconds=1))
    assert (await node.status(SET)).running


async def test_the_shipped_base_runs_under_the_restricted_pod_security_standard(
    tmp_path: Path,
) -> None:
    """Each object is accepted without an unknown field, and its controller may make the pods."""
    (listed,) = read("kustomization.yaml")
    documents = [document for name in listed["resources"] for document in read(name)]
    async with cluster(BINARIES, tmp_path) as api:
        await api.create_namespace(
            "trading", **{"pod-security.kubernetes.io/enforce": "restricted"}
        )
        for document in documents:
            document["metadata"]["namespace"] = "trading"
            await api.create(document)
        wanted = {
            f"{document['metadata']['name']}-0"
            for document in documents
            if document["kind"] == "StatefulSet"
        }

        async def made() -> bool:
            return {pod["metadata"]["name"] for pod in await api.pods("trading")} == wanted

        assert len(wanted) == 3
        await eventually(made, what=f"the pods {wanted}")


def read(name: str) -> list[dict[str, Any]]:
    """The objects of one file of the base."""
    text = (ROOT / "deploy" / "kubernetes" / name).read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))
