"""A fake API server with the controllers that matter: StatefulSets and Deployments of one pod."""

import ssl
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from trading_ops.tls.authority import Authority, Wanted

TOKEN = "the-account's-token"
SELECTOR = {"app": "alpha"}


class Cluster:
    """One namespace `bots`; answers what the real server answers to the node's requests."""

    def __init__(self, folder: Path) -> None:
        self.account = folder / "account"
        self.account.mkdir()
        (self.account / "token").write_text(TOKEN)
        authority = Authority(folder / "tls")
        authority.issue(Wanted("api", ("127.0.0.1",), calls=False), timedelta(days=1))
        (self.account / "ca.crt").write_bytes((folder / "tls" / "ca.crt").read_bytes())
        self._folder = folder
        self.workloads: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, dict[str, str], str, Any]] = []
        """Method, path, query, content type and body of each request."""

        self.denied: set[str] = set()
        """Methods that the account's role does not allow."""

        self.broken = 0
        """Status that every request is answered with; 0: none."""

        self.waiting = ""
        """Why the container of the next pod does not start; empty: it starts."""

        self.ends = True
        """Whether a deleted pod ends: not on a node that is unreachable."""

    def add(self, kind: str = "statefulset", **spec: Any) -> None:
        """Create the workload `alpha` with its pod."""
        base: dict[str, Any] = {"replicas": 1, "selector": {"matchLabels": SELECTOR}}
        if kind == "deployment":
            base["strategy"] = {"type": "Recreate"}
        self.workloads[f"{kind}s"] = {
            "metadata": {"name": "alpha", "namespace": "bots", "annotations": {}},
            "spec": base | spec,
        }
        self._reconcile()

    @property
    def pod(self) -> dict[str, Any]:
        """The only pod."""
        (found,) = self.pods
        return found

    def container(self) -> dict[str, Any]:
        """The status of the bot's container."""
        found: dict[str, Any] = self.pod["status"]["containerStatuses"][0]
        return found

    def crash(self, reason: str, code: int, *, again: str = "") -> None:
        """End the container; the kubelet starts it again, or waits for a reason."""
        container = self.container()
        container["lastState"] = {"terminated": {"reason": reason, "exitCode": code}}
        if again:
            container["state"] = {"waiting": {"reason": again}}
            self._ready(self.pod, ready=False)
        else:
            container["restartCount"] += 1

    async def serve(self) -> tuple[web.AppRunner, str]:
        """Serve over TLS; return the runner and the URL."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        files = self._folder / "tls"
        context.load_cert_chain(files / "api.crt", files / "api.key")
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        return runner, f"https://127.0.0.1:{runner.addresses[0][1]}"

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        content = request.headers.get("Content-Type", "")
        path = request.path
        self.requests.append((request.method, path, dict(request.query), content, body))
        if self.broken:
            return _status(self.broken, "the server is broken")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _status(401, "Unauthorized")
        if request.method in self.denied:
            return _status(403, f"User cannot {request.method.lower()} it")
        parts = path.strip("/").split("/")
        if parts[:4] == ["api", "v1", "namespaces", "bots"] and parts[4] == "pods":
            return self._pods(request, parts[5:], body)
        if parts[:5] == ["apis", "apps", "v1", "namespaces", "bots"]:
            return self._workload(request, parts[5:], body)
        return _status(404, "the server could not find the requested resource")

    def _pods(self, request: web.Request, parts: list[str], body: Any) -> web.Response:
        if not parts:
            wanted = dict(
                selector.split("=") for selector in request.query["labelSelector"].split(",")
            )
            assert wanted == SELECTOR
            return web.json_response({"kind": "PodList", "items": self.pods})
        found = next((pod for pod in self.pods if pod["metadata"]["name"] == parts[0]), None)
        if found is None:
            return _status(404, f'pods "{parts[0]}" not found')
        if body["preconditions"]["uid"] != found["metadata"]["uid"]:
            return _status(409, "Precondition failed: UID in precondition")
        self._end(found)
        self._reconcile()
        return web.json_response(found)

    def _workload(self, request: web.Request, parts: list[str], body: Any) -> web.Response:
        found = self.workloads.get(parts[0])
        if found is None or parts[1] != "alpha":
            return _status(404, f'{parts[0]}.apps "{parts[1]}" not found')
        if request.method == "PATCH":
            assert request.content_type == "application/merge-patch+json"
            if parts[2:] == ["scale"]:
                found["spec"]["replicas"] = body["spec"]["replicas"]
            else:
                annotations = body["spec"]["template"]["metadata"]["annotations"]
                found["metadata"]["annotations"] |= annotations
                for pod in self.pods:  # the rollout of a Deployment that recreates
                    self._end(pod)
            self._reconcile()
        return web.json_response(found)

    def _end(self, pod: dict[str, Any]) -> None:
        pod["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
        if self.ends:
            self.pods.remove(pod)

    def _reconcile(self) -> None:
        (workload,) = self.workloads.values()
        wanted = workload["spec"]["replicas"]
        if not wanted:
            for pod in list(self.pods):
                self._end(pod)
        if wanted and not self.pods:
            self.pods.append(self._new_pod())

    def _new_pod(self) -> dict[str, Any]:
        state = {"waiting": {"reason": self.waiting}} if self.waiting else {"running": {}}
        status = {"name": "bot", "restartCount": 0, "state": state, "lastState": {}}
        made: dict[str, Any] = {
            "metadata": {"name": "alpha-0", "uid": str(uuid.uuid4())},
            "spec": {"containers": [{"name": "bot"}], "terminationGracePeriodSeconds": 1},
            "status": {"phase": "Running", "containerStatuses": [status]},
        }
        self._ready(made, ready=not self.waiting)
        return made

    @staticmethod
    def _ready(pod: dict[str, Any], *, ready: bool) -> None:
        pod["status"]["conditions"] = [{"type": "Ready", "status": str(ready)}]


def _status(code: int, message: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "message": message}
    return web.json_response(body, status=code)
