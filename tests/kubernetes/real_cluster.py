"""A real API server and controller manager on loopback; a played kubelet runs the pods.

The programs are those of a Kubernetes release. Without nodes nothing would run a pod, so `Kubelet`
binds each to a node and reports its container; everything else is Kubernetes' own: objects, RBAC,
service account tokens, preconditions, StatefulSets, Deployments.
"""

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.free_ports import free_port
from tests.waiting import eventually
from trading_ops.tls.authority import Authority, Wanted

ADMIN, MANAGER = "token-of-the-administrator", "token-of-the-controller-manager"
CONTROLLERS = (
    "deployment-controller,replicaset-controller,statefulset-controller,"
    "serviceaccount-controller,garbage-collector-controller"
)
MERGE = "application/merge-patch+json"
NODE = "node-1"
LOOK_SECONDS = 0.1


class Cluster:
    """The API as its administrator sees it."""

    def __init__(self, url: str, authority: Path) -> None:
        """Set the URL, and the file of the CA that signed its certificate."""
        self.url, self.authority = url, authority
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connections."""
        context = ssl.create_default_context(cafile=self.authority)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context),
            headers={"Authorization": f"Bearer {ADMIN}"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        assert self._session is not None
        await self._session.close()

    async def ask(self, verb: str, path: str, body: Any = None, content: str = "") -> Any:
        """Return the answer; None if there is no such object, or it changed concurrently."""
        assert self._session is not None
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content or "application/json"}
        async with self._session.request(
            verb, self.url + path, data=data, headers=headers
        ) as response:
            answer = await response.json(content_type=None)
            if response.status in (404, 409):
                return None
            assert response.ok, answer
            return answer

    async def create(self, document: Mapping[str, Any]) -> None:
        """Create an object from its manifest; an unknown field is an error."""
        group, _, version = document["apiVersion"].rpartition("/")
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        if space := document["metadata"].get("namespace"):
            path += f"/namespaces/{space}"
        kind = document["kind"].lower()
        kinds = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
        made = await self.ask("POST", f"{path}/{kinds}?fieldValidation=Strict", document)
        assert made is not None, document

    async def create_namespace(self, name: str, **labels: str) -> None:
        """Create a namespace; return once pods can be created in it."""
        meta = {"name": name, "labels": labels}
        await self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        await eventually(lambda: self.ask("GET", path), within=30)

    async def pods(self, space: str) -> list[dict[str, Any]]:
        """Return the pods of a namespace."""
        found: list[dict[str, Any]] = (await self.ask("GET", f"/api/v1/namespaces/{space}/pods"))[
            "items"
        ]
        return found

    async def token(self, space: str, name: str) -> str:
        """Create a service account; return a token for it."""
        meta = {"name": name, "namespace": space}
        await self.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = f"/api/v1/namespaces/{space}/serviceaccounts/{name}/token"
        return str((await self.ask("POST", path, request))["status"]["token"])


class Kubelet:
    """Binds pods to a node and reports their container; ends those that are deleted."""

    def __init__(self, cluster: Cluster, space: str) -> None:
        """Run the pods of this namespace."""
        self._cluster, self._space = cluster, space
        self.waiting = ""
        """Why the container of the next pod does not start; empty: it starts."""

        self.is_cut_off = False
        """Whether the node cannot be reached: a pod that is deleted does not end."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Kubelet"]:
        """Run the pods during the block."""
        task = asyncio.create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            for pod in await self._cluster.pods(self._space):
                await self._step(pod, f"/api/v1/namespaces/{self._space}/pods")
            await asyncio.sleep(LOOK_SECONDS)

    async def _step(self, pod: dict[str, Any], path: str) -> None:
        name = pod["metadata"]["name"]
        if pod["metadata"].get("deletionTimestamp"):
            if not self.is_cut_off:
                end = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
                await self._cluster.ask("DELETE", f"{path}/{name}", end)
        elif not pod["spec"].get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            await self._cluster.ask(
                "POST", f"{path}/{name}/binding", {"metadata": {"name": name}, "target": target}
            )
        elif not pod["status"].get("containerStatuses"):
            await self.report(pod, waiting=self.waiting)

    async def report(
        self, pod: dict[str, Any], *, waiting: str = "", restarts: int = 0, ended: Any = None
    ) -> None:
        """Report the state of the pod's container."""
        state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
        container = {
            "name": pod["spec"]["containers"][0]["name"],
            "image": "bot",
            "imageID": "bot",
            "ready": not waiting,
            "restartCount": restarts,
            "state": state,
            "lastState": {"terminated": ended} if ended else {},
        }
        status = {
            "phase": "Pending" if waiting and not ended else "Running",
            "conditions": [{"type": "Ready", "status": "False" if waiting else "True"}],
            "containerStatuses": [container],
        }
        path = f"/api/v1/namespaces/{self._space}/pods/{pod['metadata']['name']}/status"
        await self._cluster.ask("PATCH", path, {"status": status}, MERGE)


@contextlib.contextmanager
def started(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program during the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@contextlib.asynccontextmanager
async def cluster(binaries: str, folder: Path) -> AsyncIterator[Cluster]:
    """Run etcd, the API server and the controller manager; yield the API when it is ready."""
    etcd, peer, port = free_port(), free_port(), free_port()
    url = f"https://127.0.0.1:{port}"
    certificate = _certificates(folder)
    tokens = folder / "tokens.csv"
    tokens.write_text(f"{ADMIN},admin,1,system:masters\n{MANAGER},manager,2,system:masters\n")
    (folder / "manager.json").write_text(json.dumps(_kubeconfig(url, folder)))
    async with contextlib.AsyncExitStack() as stack:
        for name, command in {
            "etcd": [
                "etcd",
                f"--data-dir={folder / 'etcd'}",
                f"--listen-client-urls=http://127.0.0.1:{etcd}",
                f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
            ],
            "kube-apiserver": [
                f"{binaries}/kube-apiserver",
                f"--etcd-servers=http://127.0.0.1:{etcd}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--tls-cert-file={certificate}",
                f"--tls-private-key-file={certificate.with_suffix('.key')}",
                f"--token-auth-file={tokens}",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={folder / 'accounts.key'}",
                f"--service-account-signing-key-file={folder / 'accounts.key'}",
                "--service-cluster-ip-range=10.96.0.0/24",
                "--disable-admission-plugins=NodeRestriction",
            ],
            "kube-controller-manager": [
                f"{binaries}/kube-controller-manager",
                f"--kubeconfig={folder / 'manager.json'}",
                f"--controllers={CONTROLLERS}",
                "--leader-elect=false",
                "--secure-port=0",
            ],
        }.items():
            stack.enter_context(started(command, folder / f"{name}.log"))
        made = await stack.enter_async_context(Cluster(url, folder / "tls" / "ca.crt"))
        await eventually(lambda: _is_ready(made), within=30, what=f"an API server, see {folder}")
        yield made


async def _is_ready(made: Cluster) -> bool:
    with contextlib.suppress(aiohttp.ClientError, AssertionError, ValueError):
        found = await made.ask("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        return found is not None  # the controller manager makes it
    return False


def _certificates(folder: Path) -> Path:
    """Create the server's certificate and the key of service accounts; return the first."""
    authority = Authority(folder / "tls")
    authority.issue(Wanted("api", ("127.0.0.1",), calls=False), timedelta(days=1))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "accounts.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return folder / "tls" / "api.crt"


def _kubeconfig(url: str, folder: Path) -> dict[str, Any]:
    server = {"server": url, "certificate-authority": str(folder / "tls" / "ca.crt")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": server}],
        "users": [{"name": "manager", "user": {"token": MANAGER}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "manager"}}],
        "current-context": "local",
    }
