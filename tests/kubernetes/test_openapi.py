"""Requests and manifests against the OpenAPI document that Kubernetes publishes.

A real API server takes more than ten minutes to build, so none runs here. Needs Go, which downloads
the document, and is skipped without it.
"""

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.compose.composed import ROOT
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.openapi import OpenApi
from trading_ops.services.kubernetes import Kubernetes
from trading_ops.services.kubernetes_api import KubernetesApi

pytestmark = pytest.mark.slow

WITHIN = timedelta(seconds=20)
MANIFESTS = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))


@pytest.fixture(scope="module")
def openapi() -> OpenApi:
    found = OpenApi.published()
    if found is None:
        pytest.skip("no Go that can download Kubernetes' source")
    return found


@pytest.mark.parametrize("kind", ["statefulset", "deployment"])
async def test_every_request_is_valid(openapi: OpenApi, tmp_path: Path, kind: str) -> None:
    cluster = Cluster(tmp_path)
    cluster.add(kind)
    runner, url = await cluster.serve()
    kubernetes = Kubernetes(KubernetesApi(url, cluster.account))
    unit = f"bots/{kind}/alpha"
    await kubernetes.restart(unit, WITHIN)
    await kubernetes.stop(unit, WITHIN)
    await kubernetes.start(unit, WITHIN)
    await kubernetes.close()
    await runner.cleanup()
    assert {method for method, *_ in cluster.requests} >= {"GET", "PATCH"}
    assert [
        fault for request in cluster.requests for fault in openapi.faults_of_request(*request)
    ] == []
    # The fake answers with fields of the real objects.
    pod = {"apiVersion": "v1", "kind": "Pod", **cluster.pod}
    (workload,) = cluster.workloads.values()
    name = {"statefulset": "StatefulSet", "deployment": "Deployment"}[kind]
    for found, of in ((pod, "core.v1.Pod"), (workload, f"apps.v1.{name}")):
        assert list(openapi.faults(found, {"$ref": f"#/definitions/io.k8s.api.{of}"}, of)) == []


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_every_manifest_is_valid(openapi: OpenApi, path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    found = [document for document in documents if document["kind"] != "Kustomization"]
    assert [fault for document in found for fault in openapi.faults_of_object(document)] == []


def test_faults_are_found(openapi: OpenApi) -> None:
    """Of the check itself."""
    bad = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "a"},
        "spec": {"replicas": "1", "tmplate": {}},
    }
    found = " ".join(openapi.faults_of_object(bad))
    for fault in ("unknown field tmplate", "'1' is not of type integer", "selector is missing"):
        assert fault in found
    path = "/apis/apps/v1/namespaces/bots/statefulsets/alpha"
    assert list(openapi.faults_of_request("PATCH", path, {}, "application/json", {}))
    assert list(openapi.faults_of_request("GET", f"{path}/scales", {}, "", None))
