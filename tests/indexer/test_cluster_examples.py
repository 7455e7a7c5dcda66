"""The files to copy for Slurm and Kubernetes: a real build by the first, the documented fields in the second."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imindex.indexer.store.index import Index
from tests.support.pictures import picture
from tests.support.places import ROOT

SBATCH = ROOT / "docs" / "examples" / "imindex.sbatch"
RAYJOB = ROOT / "docs" / "examples" / "imindex-rayjob.yaml"

SRUN = """#!/bin/bash
# A node is an address of loopback here. `--nodelist=n2` runs the command on 127.0.0.3.
while [[ "$1" == --* ]]; do
  [[ "$1" == --nodelist=n* ]] && node="${1#--nodelist=n}"
  shift
done
echo "n$node: ${*//$'\\n'/ }" >> "$FAKE_LOG"
if [ "$1" = hostname ]; then echo "127.0.0.$((node + 1)) fe80::1"; exit; fi
exec "$@"
"""
SCONTROL = """#!/bin/bash
[ "$1 $2 $3" = "show hostnames n[1-2]" ] && printf 'n1\\nn2\\n'
"""


def test_the_batch_file_is_sound() -> None:
    subprocess.run(["bash", "-n", str(SBATCH)], check=True)
    shellcheck = shutil.which("shellcheck") or Path(sys.executable).with_name("shellcheck")
    if Path(shellcheck).exists():
        subprocess.run([str(shellcheck), str(SBATCH)], check=True)
    text = SBATCH.read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert "ray stop" not in code and "pkill" not in code  # other jobs may share the node
    assert "RAY_AUTH_MODE=token" in code
    assert not re.search(r"RAY_AUTH_TOKEN=", code)  # the token is in a file only


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_the_batch_file_builds_on_two_nodes_and_stops_them(tmp_path: Path) -> None:
    """`srun` and `scontrol` are replaced by ones that know two nodes on loopback; Ray and the build are real."""
    pytest.importorskip("ray")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    imindex = f'#!/bin/bash\nexec "{sys.executable}" -m imindex "$@"\n'
    for name, script in (("srun", SRUN), ("scontrol", SCONTROL), ("imindex", imindex)):
        (bin_folder / name).write_text(script)
        (bin_folder / name).chmod(0o755)
    works = tmp_path / "works" / "ada"
    works.mkdir(parents=True)
    for number in range(40):
        picture(number).save(works / f"{number}.jpg")
    job = f"9{os.getpid()}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "PATH": os.pathsep.join([str(bin_folder), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SLURM_JOB_ID": job, "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_CPUS_PER_TASK": "1",
        "SLURM_GPUS_ON_NODE": "0", "FAKE_LOG": str(tmp_path / "srun.log"),
        "IMINDEX_SOURCE": str(tmp_path / "works"), "IMINDEX_INDEX": str(tmp_path / "ray.h5"),
        "IMINDEX_MODEL": "demo", "IMINDEX_SHARED": str(tmp_path), "IMINDEX_PORT": str(free_port()),
    }  # fmt: skip
    with (tmp_path / "job.log").open("w") as log:
        job_process = subprocess.Popen(
            ["bash", str(SBATCH)],
            env=environment,
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            code = job_process.wait(timeout=400)
        finally:
            left = running_of(job)
            for process in left:
                os.kill(process, signal.SIGKILL)
            if job_process.poll() is None:
                os.killpg(job_process.pid, signal.SIGKILL)
            shutil.rmtree(f"/tmp/ray-{job}", ignore_errors=True)
    output = (tmp_path / "job.log").read_text()
    assert code == 0, output[-3000:]
    assert not left, "nodes of Ray are still running after the job"
    assert not list(tmp_path.glob(".imindex-token-*"))
    started = (tmp_path / "srun.log").read_text()
    assert re.search(r"n1: ray start --head ", started) and re.search(r"n2: ray start --address=", started)

    plain = tmp_path / "plain.h5"
    words = ["build", str(tmp_path / "works"), "-i", str(plain), "--model", "demo", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "imindex", *words],
        capture_output=True,
        check=True,
        env=os.environ,
        cwd=tmp_path,
    )
    with Index(tmp_path / "ray.h5") as index:
        assert index.root_digest == json.loads(done.stdout)["root_digest"]


def running_of(job: str) -> list[int]:
    """Return the processes that name the temporary folder of a job, a moment after its end."""
    for _ in range(50):
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if f"/ray-{job}".encode() in words:
                    found.append(int(entry.name))
        if not found:
            return []
        time.sleep(0.2)
    return found


FIELDS = {
    "RayJob": {"apiVersion": str, "kind": str, "metadata": "Metadata", "spec": "RayJobSpec"},
    "Metadata": {"name": str, "namespace": str, "labels": dict},
    "RayJobSpec": {
        "entrypoint": str, "backoffLimit": int, "shutdownAfterJobFinishes": bool, "ttlSecondsAfterFinished": int,
        "activeDeadlineSeconds": int, "submissionMode": str, "rayClusterSpec": "RayClusterSpec",
    },
    "RayClusterSpec": {
        "rayVersion": str, "authOptions": "AuthOptions", "headGroupSpec": "HeadGroupSpec",
        "workerGroupSpecs": ["WorkerGroupSpec"],
    },
    "AuthOptions": {"mode": str},
    "HeadGroupSpec": {"template": "PodTemplate", "rayStartParams": {str: str}, "serviceType": str},
    "WorkerGroupSpec": {
        "groupName": str, "replicas": int, "minReplicas": int, "maxReplicas": int, "numOfHosts": int,
        "rayStartParams": {str: str}, "template": "PodTemplate",
    },
    "PodTemplate": {"metadata": "Metadata", "spec": "PodSpec"},
    "PodSpec": {"containers": ["Container"], "volumes": ["Volume"]},
    "Container": {
        "name": str, "image": str, "resources": "Resources", "volumeMounts": ["VolumeMount"], "env": list,
    },
    "Resources": {"requests": {str: str}, "limits": {str: str}},
    "VolumeMount": {"name": str, "mountPath": str, "readOnly": bool},
    "Volume": {"name": str, "persistentVolumeClaim": "Claim", "emptyDir": "EmptyDir"},
    "Claim": {"claimName": str, "readOnly": bool},
    "EmptyDir": {"medium": str, "sizeLimit": str},
}  # fmt: skip
"""Fields of ray.io/v1 that the file may use, from KubeRay's API reference, and those of Kubernetes' pods."""


def check_fields(value: object, kind: object, path: str = "") -> None:
    """Check the types of all fields, and that each is known."""
    if isinstance(kind, str):
        fields = FIELDS[kind]
        assert isinstance(value, dict), path
        assert set(value) <= set(fields), (
            f"{path}: {sorted(set(value) - set(fields))} are no fields of {kind}"
        )
        for name, inside in value.items():
            check_fields(inside, fields[name], f"{path}.{name}")
    elif isinstance(kind, list):
        assert isinstance(value, list) and value, path
        for number, inside in enumerate(value):
            check_fields(inside, kind[0], f"{path}[{number}]")
    elif isinstance(kind, dict):
        assert isinstance(value, dict) and all(isinstance(x, str) for x in (*value, *value.values())), path
    else:
        assert type(value) is kind, f"{path} is {value!r}, and has to be of {kind}"


def test_the_ray_job_has_documented_fields_and_agrees_with_itself() -> None:
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load(RAYJOB.read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    check_fields(job, "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    pods = [cluster["headGroupSpec"]["template"]["spec"]]
    pods += [group["template"]["spec"] for group in cluster["workerGroupSpecs"]]
    assert len({container["image"] for pod in pods for container in pod["containers"]}) == 1
    for pod in pods:
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert container["resources"]["requests"] == container["resources"]["limits"]
            assert "/data" in {mount["mountPath"] for mount in container["volumeMounts"]}
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    words = job["spec"]["entrypoint"].split()
    assert words[:2] == ["imindex", "build"] and "--on ray" in job["spec"]["entrypoint"]
    assert {word.partition("/data")[1] for word in words if word.startswith("/")} == {"/data"}
    with pytest.raises(AssertionError, match="no fields of"):
        check_fields({**job, "spce": {}}, "RayJob")
