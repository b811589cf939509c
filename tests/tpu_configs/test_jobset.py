"""jobset.yaml against JobSet v1alpha2 (kubernetes-sigs/jobset, jobset_types.go), the recipe and the
trainer's exit codes.
"""

import math
import os
import re
import string
from pathlib import Path

import pytest
import yaml

from spirit_jax.config import RunConfig
from spirit_jax.core.settings import load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "tpu_configs/jobset.yaml").read_text()
NAMES = {
    "NAME": "a",
    "CONFIG": "tpu_configs/pods/spirit_base_7b_v5e_256.py",
    "IMAGE": "i",
    "BUCKET": "b",
    "RUN": "r",
}
DIVERGED, MISTAKE, STOPPED = 1, 2, 75  # spirit_jax.training.command; STOPPED is what the manifest asks for
SPEC = {
    "replicatedJobs",
    "network",
    "successPolicy",
    "failurePolicy",
    "startupPolicy",
    "suspend",
    "coordinator",
    "ttlSecondsAfterFinished",
}
RULE = {"name", "action", "targetReplicatedJobs", "onJobFailureReasons", "onJobFailureMessagePatterns"}
JOB = {
    "parallelism",
    "completions",
    "backoffLimit",
    "podFailurePolicy",
    "completionMode",
    "activeDeadlineSeconds",
    "template",
}


@pytest.fixture
def manifest() -> dict:
    return yaml.safe_load(string.Template(TEXT).substitute({**os.environ, "CLUSTER": "c", **NAMES}))


@pytest.fixture
def job(manifest) -> dict:
    (replicated,) = manifest["spec"]["replicatedJobs"]
    assert replicated.keys() <= {"name", "groupName", "replicas", "template", "dependsOn"}
    assert replicated["replicas"] == 1
    return replicated["template"]["spec"]


def test_fields_are_those_of_v1alpha2(manifest, job):
    assert (manifest["apiVersion"], manifest["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert manifest["metadata"].keys() <= {"name", "annotations", "labels", "namespace"}
    assert manifest["spec"].keys() <= SPEC
    assert manifest["spec"]["failurePolicy"].keys() <= {"maxRestarts", "restartStrategy", "rules"}
    assert all(rule.keys() <= RULE for rule in manifest["spec"]["failurePolicy"]["rules"])
    assert job.keys() <= JOB
    assert "${" not in yaml.safe_dump(manifest), "each name is one of the five"


def test_there_is_a_pod_for_each_machine_of_the_recipes_topology(job):
    recipe, pod = load(ROOT / NAMES["CONFIG"], RunConfig), job["template"]["spec"]
    (container,) = pod["containers"]
    topology = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    chips = container["resources"]["limits"]["google.com/tpu"]
    machines = math.prod(map(int, topology.split("x"))) // chips
    assert recipe.mesh.topology == f"v5e:{topology}"
    assert container["resources"]["requests"]["google.com/tpu"] == chips
    assert job["parallelism"] == job["completions"] == machines
    assert recipe.data.streams % machines == 0, "each machine reads whole streams"


def test_it_starts_again_after_a_preemption_and_not_after_a_mistake(manifest, job):
    (container,) = job["template"]["spec"]["containers"]
    command = container["command"]
    assert command[command.index("--stopped-exit-code") + 1] == str(STOPPED)
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [DIVERGED, MISTAKE],
    }
    assert job["template"]["spec"]["restartPolicy"] == "Never", "what a podFailurePolicy needs"
    assert job["backoffLimit"] == 0, "one lost machine ends the job: the others cannot continue without it"
    (final,) = manifest["spec"]["failurePolicy"]["rules"]
    assert (final["action"], final["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])
    assert manifest["spec"]["failurePolicy"]["maxRestarts"] > 0


def test_the_mount_is_read_only_and_the_run_folder_in_the_bucket(job):
    pod = job["template"]["spec"]
    (container,), (volume,) = pod["containers"], pod["volumes"]
    (mount,) = container["volumeMounts"]
    options = dict(zip(container["args"][::2], container["args"][1::2], strict=True))
    assert mount["readOnly"] is volume["csi"]["readOnly"] is True
    assert options["--root"] == mount["mountPath"]
    assert options["--out"] == "gs://b/runs/r"
    assert options["--set"] == "checkpoint.init_from=gs://b/base"


def test_xpk_starts_again_on_the_same_code():
    """Left alone it does so on 42 and from 127 on."""
    line = re.sub(r" \\\n#", " ", TEXT)
    assert re.search(
        rf"xpk workload create .*--restart-on-exit-codes {STOPPED} .*--stopped-exit-code {STOPPED} ", line
    )
