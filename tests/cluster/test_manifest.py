"""The JobSet manifest against what the APIs take, and what it makes of how a pod ends."""

from pathlib import Path

import jsonschema
import pytest
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster"


def record(**fields):
    """An object of these fields and no others; those whose schema is in a list may be missing."""
    optional = {name: schema[0] for name, schema in fields.items() if isinstance(schema, list)}
    required = {name: schema for name, schema in fields.items() if not isinstance(schema, list)}
    return {
        "type": "object",
        "properties": optional | required,
        "required": list(required),
        "additionalProperties": False,
    }


def many(schema):
    """A list of at least one."""
    return {"type": "array", "items": schema, "minItems": 1}


def one_of(*values):
    return {"enum": list(values)}


NAME = {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": TEXT}
COUNT = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
FAILURES = (
    "BackoffLimitExceeded",
    "DeadlineExceeded",
    "FailedIndexes",
    "MaxFailedIndexesExceeded",
    "PodFailurePolicy",
)
CODES = {**many({"type": "integer", "minimum": 1, "maximum": 255}), "uniqueItems": True}

POD = record(
    restartPolicy=one_of("Never"),  # the only one that goes with a podFailurePolicy
    terminationGracePeriodSeconds=[COUNT],
    serviceAccountName=[NAME],
    nodeSelector=[TEXTS],
    containers=many(
        record(
            name=NAME,
            image=TEXT,
            command=many(TEXT),
            resources=[record(limits={"type": "object", "additionalProperties": COUNT})],
            volumeMounts=[many(record(name=NAME, mountPath=TEXT))],
        )
    ),
    volumes=[many(record(name=NAME, persistentVolumeClaim=record(claimName=NAME)))],
)
POD_FAILURE = record(
    action=one_of("FailJob", "FailIndex", "Ignore", "Count"),
    onExitCodes=[record(containerName=[NAME], operator=one_of("In", "NotIn"), values=CODES)],
    onPodConditions=[many(record(type=TEXT, status=one_of("True", "False", "Unknown")))],
)
JOB = record(
    parallelism=COUNT,
    completions=COUNT,
    completionMode=one_of("Indexed"),  # by which JAX numbers the processes
    backoffLimit=COUNT,
    podFailurePolicy=record(rules=many(POD_FAILURE)),
    template=record(spec=POD),
)
JOBSET = record(
    apiVersion=one_of("jobset.x-k8s.io/v1alpha2"),
    kind=one_of("JobSet"),
    metadata=record(name=NAME),
    spec=record(
        failurePolicy=record(
            maxRestarts=COUNT,
            rules=many(
                record(
                    name={"type": "string", "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
                    action=one_of("FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"),
                    onJobFailureReasons=[many(one_of(*FAILURES))],
                )
            ),
        ),
        replicatedJobs=many(record(name=NAME, replicas=[COUNT], template=record(spec=JOB))),
    ),
)
"""The manifest's fields of JobSet v1alpha2, of batch/v1's Job and of core/v1's Pod, as these define them."""


@pytest.fixture(scope="module")
def manifest():
    return yaml.safe_load((CLUSTER / "jobset.yaml").read_text())


def test_the_manifest_is_a_jobset(manifest):
    jsonschema.Draft202012Validator.check_schema(JOBSET)
    jsonschema.validate(manifest, JOBSET)


def test_the_schema_refuses_what_the_apis_refuse(manifest):
    job = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    rule = job["podFailurePolicy"]["rules"][0]
    for place, name, value in (
        (job, "parallelism", "4"),
        (job, "parallelisms", 4),
        (rule["onExitCodes"], "values", [0]),
        (rule, "action", "FailJobSet"),
        (job["template"]["spec"], "restartPolicy", "OnFailure"),
        (manifest["spec"]["failurePolicy"]["rules"][0], "name", "0"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(place, name, value)
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(manifest, JOBSET)


def outcome(manifest, code, disrupted=False):
    """What becomes of the JobSet when a pod ends with a code, by Job's and JobSet's rules."""
    spec = manifest["spec"]
    job = spec["replicatedJobs"][0]["template"]["spec"]
    assert (job["backoffLimit"], spec["failurePolicy"]["maxRestarts"]) == (0, 0)  # else failures are counted
    reason = "BackoffLimitExceeded"
    for rule in job["podFailurePolicy"]["rules"]:
        codes = rule.get("onExitCodes", {"values": []})["values"]
        conditions = [condition["type"] for condition in rule.get("onPodConditions", [])]
        if code in codes or (disrupted and "DisruptionTarget" in conditions):
            assert rule["action"] == "FailJob"
            reason = "PodFailurePolicy"
    for rule in spec["failurePolicy"]["rules"]:
        if reason in rule["onJobFailureReasons"]:
            return rule["action"]
    return "FailJobSet"


@pytest.mark.parametrize("code", [1, 2, 130, 137])
def test_an_error_ends_the_jobset(code, manifest):
    assert outcome(manifest, code) == "FailJobSet"


@pytest.mark.parametrize(("code", "disrupted"), [(75, False), (75, True), (137, True)])
def test_a_preemption_restarts_it_and_is_not_counted(code, disrupted, manifest):
    assert outcome(manifest, code, disrupted) == "RestartJobSetAndIgnoreMaxRestarts"


def test_it_trains_an_episode_a_chip_into_the_shared_volume(manifest):
    job = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    chips = job["parallelism"] * container["resources"]["limits"]["google.com/tpu"]
    width, height = job["template"]["spec"]["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")
    assert chips == int(width) * int(height)
    assert f"--config.batch_size={chips}" in container["command"]
    (mount,) = container["volumeMounts"]
    places = [flag.split("=")[1] for flag in container["command"] if flag.startswith("--workdir")]
    assert [place.startswith(mount["mountPath"]) for place in places] == [True]
