"""Kubernetes: a bot is a workload of one pod, `NAMESPACE/statefulset/NAME` or `…/deployment/NAME`.

The incarnation is the pod's UID and the number of restarts of its container. A StatefulSet's pod is
deleted under its UID; a Deployment gets a rollout restart, so that no right over the pods of others
is needed. The controller makes the next pod.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import yaml

from trading_ops import clock
from trading_ops.errors import SetupError
from trading_ops.services.kubernetes_api import KubernetesApi, Missing
from trading_ops.services.manager import ManagerUnavailable, UnitStatus

STATEFUL_SET, DEPLOYMENT = "statefulset", "deployment"
LOOK_SECONDS = 0.5
END_SECONDS = 5.0
"""Seconds for a pod to disappear after its grace period."""

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
MAIN_CONTAINER = "kubectl.kubernetes.io/default-container"
CANNOT_START = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
"""Waiting reasons of a container that do not clear without a change."""

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Workload:
    """The parts of a unit's name."""

    namespace: str
    kind: str
    name: str

    @classmethod
    def of(cls, unit: str) -> "Workload":
        """Parse `NAMESPACE/KIND/NAME`; the loader of `targets.yml` has checked its form."""
        return cls(*unit.split("/"))

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/{self.kind}s/{self.name}"

    @property
    def pods(self) -> str:
        """The path of the namespace's pods."""
        return f"/api/v1/namespaces/{self.namespace}/pods"


class Kubernetes:
    """The workloads of a cluster."""

    def __init__(self, api: KubernetesApi) -> None:
        """Use this API server."""
        self._api = api

    async def status(self, name: str) -> UnitStatus:
        """Return the workload's state.

        Raises:
            SetupError: there is no such workload, or it may run more than one pod.
            ManagerUnavailable: Kubernetes does not answer, or two pods run.
        """
        found, pod = await self._look(Workload.of(name))
        if pod is None:
            return UnitStatus(
                state="pending" if found["spec"]["replicas"] else "stopped", running=False
            )
        return _status(pod)

    async def start(self, name: str, within: timedelta) -> None:
        """Scale it to one pod, and wait until that is ready.

        Raises:
            SetupError: it cannot be started.
            ManagerUnavailable: Kubernetes does not answer.
        """
        unit = Workload.of(name)
        await self._scale(unit, 1)
        await self._ready(unit, within)

    async def stop(self, name: str, grace: timedelta) -> None:
        """Scale it to zero, and wait until the pod is gone.

        Raises:
            SetupError: it cannot be stopped.
            ManagerUnavailable: Kubernetes does not answer, or the pod does not end: on a node that
                is unreachable it may still run.
        """
        unit = Workload.of(name)
        _, pod = await self._look(unit)
        await self._scale(unit, 0)
        seconds = max(int(grace.total_seconds()), 1)
        if pod is not None and unit.kind == STATEFUL_SET:
            with contextlib.suppress(Missing):  # already gone
                await self._delete(unit, pod, {"gracePeriodSeconds": seconds})
        elif pod is not None:
            seconds = max(seconds, int(pod["spec"].get("terminationGracePeriodSeconds", 30)))

        def gone(_: Object, pod: Object | None) -> bool:
            return pod is None

        try:
            await self._until(unit, gone, timedelta(seconds=seconds + END_SECONDS))
        except TimeoutError as error:
            raise ManagerUnavailable(f"the pod of {name} has not ended") from error

    async def restart(self, name: str, within: timedelta) -> None:
        """Replace the pod, and wait until the next one is ready.

        Raises:
            SetupError: it cannot be restarted.
            ManagerUnavailable: Kubernetes does not answer, or the pod has been replaced.
        """
        unit = Workload.of(name)
        found, pod = await self._look(unit)
        if not found["spec"]["replicas"]:
            await self._scale(unit, 1)
        elif unit.kind == DEPLOYMENT:
            stamp = clock.now().isoformat(timespec="microseconds")
            template = {"metadata": {"annotations": {RESTARTED_AT: stamp}}}
            await self._api.merge(unit.path, {"spec": {"template": template}})
        elif pod is not None and not _is_ending(pod):
            try:
                await self._delete(unit, pod, {})
            except Missing as error:
                raise ManagerUnavailable(f"the pod of {name} has been replaced") from error
        await self._ready(unit, within, other_than=None if pod is None else _uid(pod))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _look(self, unit: Workload) -> tuple[Object, Object | None]:
        """Return the workload and its pod; the one that is not terminating, if there are two."""
        found = await self._api.get(unit.path)
        _check(unit, found)
        selector = _selector(unit, found)
        pods = (await self._api.get(unit.pods, labelSelector=selector))["items"]
        pods = [pod for pod in pods if pod["status"].get("phase") not in {"Succeeded", "Failed"}]
        staying = [pod for pod in pods if not _is_ending(pod)]
        if len(staying) > 1:
            names = ", ".join(sorted(str(pod["metadata"]["name"]) for pod in staying))
            raise ManagerUnavailable(f"{unit.name} has more than one pod: {names}")
        return found, next(iter([*staying, *pods]), None)

    async def _scale(self, unit: Workload, replicas: int) -> None:
        await self._api.merge(f"{unit.path}/scale", {"spec": {"replicas": replicas}})

    async def _delete(self, unit: Workload, pod: Object, options: Object) -> None:
        """Delete exactly this pod: its name may already be that of the next one."""
        path = f"{unit.pods}/{pod['metadata']['name']}"
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": _uid(pod)}}
        await self._api.delete(path, body | dict(options))

    async def _ready(
        self, unit: Workload, within: timedelta, *, other_than: str | None = None
    ) -> None:
        def ready(_: Object, pod: Object | None) -> bool:
            if pod is None or _is_ending(pod) or _uid(pod) == other_than:
                return False
            reason = _waits_for(pod)
            if reason in CANNOT_START:
                raise SetupError(f"the pod of {unit.name} cannot start: {reason}")
            conditions = pod["status"].get("conditions", ())
            return any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in conditions
            )

        await self._until(unit, ready, within)

    async def _until(
        self, unit: Workload, holds: Callable[[Object, Object | None], bool], within: timedelta
    ) -> None:
        async with asyncio.timeout(within.total_seconds()):
            while not holds(*await self._look(unit)):  # noqa: ASYNC110 - the API has no event for it
                await asyncio.sleep(LOOK_SECONDS)


def _check(unit: Workload, found: Object) -> None:
    """Refuse a workload that may run two pods at once: two bots with the same API keys."""
    spec = found["spec"]
    if spec.get("replicas", 1) > 1:
        raise SetupError(f"{unit.name} has {spec['replicas']} replicas. Fix: set replicas to 1")
    strategy = spec.get("strategy", {}).get("type")
    if unit.kind == DEPLOYMENT and strategy != "Recreate":
        raise SetupError(
            f"the deployment {unit.name} has the strategy {strategy}: it would start the next pod "
            "before the old one ends. Fix: set strategy.type to Recreate, or use a StatefulSet"
        )


def _selector(unit: Workload, found: Object) -> str:
    selector = found["spec"]["selector"]
    if selector.get("matchExpressions") or not selector.get("matchLabels"):
        raise SetupError(f"the selector of {unit.name} is not made of matchLabels only")
    return ",".join(f"{key}={value}" for key, value in sorted(selector["matchLabels"].items()))


def _uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def _is_ending(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _container(pod: Object) -> Object:
    """Return the status of the bot's container: the first, unless the pod names another."""
    annotations = pod["metadata"].get("annotations") or {}
    name = annotations.get(MAIN_CONTAINER) or pod["spec"]["containers"][0]["name"]
    statuses: Sequence[Object] = pod["status"].get("containerStatuses") or ()
    return next((status for status in statuses if status["name"] == name), {})


def _waits_for(pod: Object) -> str:
    return str((_container(pod).get("state") or {}).get("waiting", {}).get("reason", ""))


def _status(pod: Object) -> UnitStatus:
    container = _container(pod)
    state = container.get("state") or {}
    running = "running" in state
    restarts = int(container.get("restartCount", 0))
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    detail = ""
    if ended and not running:
        detail = f"{ended.get('reason') or 'ended'}, exit code {ended['exitCode']}"
    phase = "terminating" if _is_ending(pod) else str(pod["status"].get("phase", "")).lower()
    return UnitStatus(
        state=phase if running else _waits_for(pod) or phase,
        running=running,
        incarnation=f"{_uid(pod)}/{restarts}" if container else None,
        detail=detail,
    )


def role(account: str, units: Iterable[str]) -> str:
    """Return the Roles that let a service account manage these workloads, and no others.

    Args:
        account: `NAMESPACE:NAME`.
        units: names of workloads, checked by `targets.yml`'s loader.
    """
    namespace, _, name = account.partition(":")
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    found = [Workload.of(unit) for unit in sorted(units)]
    documents: list[Object] = []
    for space in sorted({unit.namespace for unit in found}):
        mine = [unit for unit in found if unit.namespace == space]
        meta = {"name": "trading-ops-node", "namespace": space}
        api = "rbac.authorization.k8s.io"
        documents.append(
            {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": meta, "rules": _rules(mine)}
        )
        documents.append(
            {
                "apiVersion": f"{api}/v1",
                "kind": "RoleBinding",
                "metadata": meta,
                "roleRef": {"apiGroup": api, "kind": "Role", "name": meta["name"]},
                "subjects": [subject],
            }
        )
    return yaml.safe_dump_all(documents, sort_keys=False)


def _rules(units: Sequence[Workload]) -> list[Object]:
    rules: list[Object] = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    for kind, verbs in ((STATEFUL_SET, ["get"]), (DEPLOYMENT, ["get", "patch"])):
        names = [unit.name for unit in units if unit.kind == kind]
        if not names:
            continue
        for resource, allowed in ((f"{kind}s", verbs), (f"{kind}s/scale", ["patch"])):
            rule = {"apiGroups": ["apps"], "resources": [resource]}
            rules.append(rule | {"resourceNames": list(names), "verbs": allowed})
    pods = [f"{unit.name}-0" for unit in units if unit.kind == STATEFUL_SET]
    if pods:
        rule = {"apiGroups": [""], "resources": ["pods"]}
        rules.append(rule | {"resourceNames": pods, "verbs": ["delete"]})
    return rules
