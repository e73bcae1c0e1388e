"""Which launchers' variables make a process one of several, and what flags add or refuse."""

import pytest

from fsjax.distributed.detection import Job, job
from fsjax.errors import InputError

SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_NODELIST": "node[03-04]",
    "SLURM_NTASKS": "16",
    "SLURM_STEP_NUM_TASKS": "16",
    "SLURM_STEP_TASKS_PER_NODE": "8(x2)",
    "SLURM_PROCID": "11",
    "SLURM_LOCALID": "3",
}
"""What srun gives the twelfth task of two machines with eight each."""

OPEN_MPI = {
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}
FIFTH_OPEN_MPI = {name: value for name, value in OPEN_MPI.items() if "hnp" not in name}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        # A batch script, which is no step, and a step of one task.
        {name: value for name, value in SLURM.items() if "STEP" not in name} | {"SLURM_PROCID": "0"},
        {**SLURM, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
        {**OPEN_MPI, "OMPI_COMM_WORLD_SIZE": "1"},
        {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},  # any pod
    ],
)
def test_a_process_by_itself_is_alone(environment):
    assert job(environment) is None


@pytest.mark.parametrize(
    "environment",
    [
        {"TPU_WORKER_HOSTNAMES": "host0,host1", "TPU_WORKER_ID": "1"},
        {"TPU_PROCESS_ADDRESSES": "host0:8471,host1:8471"},
        {"MEGASCALE_NUM_SLICES": "2", "TPU_WORKER_HOSTNAMES": "host0"},
        {"TPU_WORKER_HOSTNAMES": "host0,host1", "JAX_COORDINATOR_ADDRESS": "host0:8476"},  # JAX reads it
    ],
)
def test_jax_finds_out_all_of_a_tpu_slice(environment):
    assert job(environment) == Job()


def test_an_indexed_job_of_kubernetes_is_a_run_where_jax_can_ask(monkeypatch):
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"}
    monkeypatch.setattr("fsjax.distributed.detection.find_spec", lambda name: None)
    assert job(pod) is None
    monkeypatch.setattr("fsjax.distributed.detection.find_spec", lambda name: name == "kubernetes")
    assert job(pod) == Job()


@pytest.mark.parametrize(
    ("more", "devices"),
    [
        ({}, None),  # JAX's own choice, the one of the local number
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}, (3,)),
        ({"CUDA_VISIBLE_DEVICES": "5"}, ()),  # bound to it: it sees no other
        ({"SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_LOCALID": "0"}, ()),  # all of its machine's
        ({"SLURM_STEP_TASKS_PER_NODE": "4(x2)", "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}, (6, 7)),
        ({"SLURM_STEP_TASKS_PER_NODE": "3,2", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}, None),
        ({"ROCR_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}, (3,)),
        ({"CUDA_VISIBLE_DEVICES": "0,1,2,3", "JAX_LOCAL_DEVICE_IDS": "0,1"}, None),  # as the user says
    ],
)
def test_a_task_of_slurm_takes_its_share_of_the_gpus(more, devices):
    assert job(SLURM | more) == Job(None, 16, 11, devices)


def test_open_mpi_says_who_is_who():
    assert job(OPEN_MPI) == Job(None, 4, 2)
    assert job(OPEN_MPI, "head:4000") == Job("head:4000", 4, 2)
    assert job({**FIFTH_OPEN_MPI, "JAX_COORDINATOR_ADDRESS": "head:4000"}) == Job("head:4000", 4, 2)


def test_open_mpi_on_machines_of_slurm_counts_its_own_processes():
    """Its helpers are a step of srun, one on each further machine; their processes inherit its variables."""
    helpers = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0", "SLURM_STEP_TASKS_PER_NODE": "1(x2)"}
    assert job(SLURM | helpers | OPEN_MPI) == Job(None, 4, 2)


def test_flags_are_enough():
    assert job({}, "first:12345", "2", "1") == Job("first:12345", 2, 1)
    assert job({"JAX_COORDINATOR_ADDRESS": "first:1"}, "", "2", "0") == Job("first:1", 2, 0)
    assert job({}, "[fe80::1]:12345", "2", "1") == Job("[fe80::1]:12345", 2, 1)
    assert job({}, "auto") == Job()


def test_flags_come_before_the_environment():
    assert job(SLURM, "", "1") is None
    assert job(SLURM, "", "1", "0") is None
    assert job(SLURM, "elsewhere:1", "3", "2") == Job("elsewhere:1", 3, 2)


@pytest.mark.parametrize(
    ("environment", "flags", "said"),
    [
        ({}, ("first:1", "", ""), "--num_processes is missing"),
        ({}, ("", "2", ""), "--process_id is missing"),
        ({}, ("", "", "1"), "--num_processes is missing"),
        ({}, ("", "2", "0"), "--coordinator is missing"),
        ({"JAX_COORDINATOR_ADDRESS": "first:1"}, ("", "", ""), "--num_processes is missing"),
        (FIFTH_OPEN_MPI, ("", "", ""), "--coordinator is missing"),
        ({}, ("first:1", "2", "2"), "--process_id=2 is none of --num_processes=2: count from 0"),
        ({}, ("", "1", "1"), "--process_id=1 is none of --num_processes=1"),
        ({}, ("first:1", "two", "0"), "--num_processes is 'two': give a whole number, 1 or more"),
        ({}, ("first:1", "0", "0"), "--num_processes is '0'"),
        ({}, ("first:1", "2", "-1"), "--process_id is '-1': give a whole number, 0 or more"),
        ({}, ("first:1", "2", "\u0661"), "--process_id is"),  # a digit, elsewhere
        ({}, ("first", "2", "0"), "The coordinator is 'first': give the name or address"),
        ({}, ("first:99999", "2", "0"), "The coordinator is 'first:99999'"),
        ({}, (":80", "2", "0"), "The coordinator is ':80'"),
        ({"JAX_COORDINATOR_ADDRESS": "first"}, ("", "2", "0"), "The coordinator is 'first'"),
        ({}, ("auto", "2", ""), "--coordinator=auto leaves --num_processes and --process_id to JAX"),
    ],
)
def test_what_does_not_fit_is_refused(environment, flags, said):
    with pytest.raises(InputError, match="^" + said.replace("[", r"\[")):
        job(environment, *flags)
