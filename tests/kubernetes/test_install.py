"""“Kubernetes” of docs/install.md, followed literally up to `kubectl apply`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import trading_ops
from tests.compose.composed import ROOT
from trading_ops.config.loading import load_settings
from trading_ops.config.targets import load_targets

BLOCK = re.compile(
    r"^```(sh|yaml)\n(?:# (\S+\.yml|\S+\.yaml)\n)?(.*?)^```", re.MULTILINE | re.DOTALL
)
OURS = "trading-ops "


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project folder after steps 1 to 4; the image is not built."""
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    section = text.partition("## Kubernetes\n")[2].partition("\n## ")[0]
    folder = tmp_path_factory.mktemp("workstation")
    for language, name, block in BLOCK.findall(section):
        if language == "yaml":
            (folder / name).write_text(block)
            continue
        for line in block.splitlines():
            if line.startswith("cd "):
                folder /= line.removeprefix("cd ")
            elif line.startswith(OURS):
                command = line.replace(OURS, f"{sys.executable} -m trading_ops.cli.main ", 1)
                environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
                subprocess.run(["sh", "-ec", command], cwd=folder, env=environment, check=True)
    return folder


def read(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def base(project: Path) -> list[dict[str, Any]]:
    """The objects of the base, as the project folder has it."""
    folder = project / "deploy" / "kubernetes"
    (listed,) = read(folder / "kustomization.yaml")
    return [document for name in listed["resources"] for document in read(folder / name)]


def pods(project: Path) -> list[dict[str, Any]]:
    sets = [document for document in base(project) if document["kind"] == "StatefulSet"]
    return [stateful_set["spec"]["template"]["spec"] for stateful_set in sets]


def test_the_shipped_role_is_that_of_the_documented_targets(project: Path) -> None:
    shipped = ROOT / "deploy" / "kubernetes" / "role.yaml"
    assert read(project / "deploy" / "kubernetes" / "role.yaml") == read(shipped)


def test_what_backups_need_is_mounted(project: Path) -> None:
    """The root file system is read-only; and a volume that is lost must not take both with it."""
    pod = next(pod for pod in pods(project) if pod["containers"][0]["name"] == "reconciler")
    (container,) = pod["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    claims = {
        claim["metadata"]["name"]
        for document in base(project)
        for claim in document.get("spec", {}).get("volumeClaimTemplates", ())
    }
    repository = mounts[environment["TRADING_OPS_BACKUP_REPOSITORY"]]
    assert repository in claims - {mounts["/var/lib/trading-ops"]}
    settings = mounts[f"{environment['TRADING_OPS_ROOT']}/settings.yml"]
    assert Path(environment["TRADING_OPS_NOTIFY_CONFIG"]).parent.as_posix() in mounts
    assert settings in {volume["name"] for volume in pod["volumes"] if "configMap" in volume}


def test_each_file_is_there_and_each_mounted_object_is_made(project: Path) -> None:
    (kustomization,) = read(project / "kustomization.yaml")
    made = {}
    for generator in [*kustomization["secretGenerator"], *kustomization["configMapGenerator"]]:
        made[generator["name"]] = {Path(file).name for file in generator["files"]}
        for file in generator["files"]:
            assert (project / file).is_file(), file
    mounted = {
        volume.get("secret", {}).get("secretName") or volume["configMap"]["name"]
        for pod in pods(project)
        for volume in pod["volumes"]
        if "emptyDir" not in volume
    }
    assert mounted == set(made)
    assert not any("ca.key" in files for files in made.values())
    # A pod that is broken into has the keys of no other.
    keys = [name for files in made.values() for name in files if name.endswith(".key")]
    assert len(keys) == len(set(keys))


def test_the_pods_find_their_settings_and_targets(project: Path) -> None:
    registry = load_targets(project / "targets.yml")
    names = {
        target.address.partition(".")[0] for target in registry if "trading.svc" in target.address
    }
    services = {
        document["metadata"]["name"]: document
        for document in base(project)
        if document["kind"] == "Service"
    }
    assert names == set(services)
    for target in registry:
        service = services.get(target.address.partition(".")[0])
        assert service is None or target.address.endswith(f":{service['spec']['ports'][0]['port']}")
    for pod in pods(project):
        for container in pod["containers"]:
            environment = {
                variable["name"]: variable["value"] for variable in container.get("env", ())
            }
            load_settings(project, environment)  # refuses what it does not know


def test_every_container_is_hardened(project: Path) -> None:
    for pod in pods(project):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] == ("serviceAccountName" in pod)
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            mounts = {mount["name"] for mount in container["volumeMounts"]}
            claims = {"data", "backups"}
            assert mounts <= {volume["name"] for volume in pod["volumes"]} | claims


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kustomize_builds_it(project: Path) -> None:
    command = ["kubectl", "kustomize", str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found = list(yaml.safe_load_all(done.stdout))
    assert {document["metadata"].get("namespace") for document in found} == {"trading"}
    images = set(re.findall(r"image: (\S+)", done.stdout))
    ours = f"registry.example/trading-ops:{trading_ops.__version__}"
    assert images == {ours, "registry.example/alpha-bot:1.0"}
    generated = {
        document["metadata"]["name"]
        for document in found
        if document["kind"] in {"Secret", "ConfigMap"}
    }
    for name in re.findall(r"secretName: (\S+)", done.stdout):
        assert name in generated
