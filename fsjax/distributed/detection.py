"""Whether this process is one of several of a run, as flags or the variables of launchers say."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec

from fsjax.errors import InputError

AUTO = "auto"
"""As the coordinator: several processes, all else found out by JAX, as on TPU machines without a variable."""

COORDINATOR = "JAX_COORDINATOR_ADDRESS"


@dataclass(frozen=True)
class Job:
    """What is known of a run of several processes; None is left to JAX's own detection.

    Attributes:
      coordinator: "HOST:PORT" of process 0.
      processes: how many there are.
      process_id: which one this is.
      local_devices: numbers of the GPUs that this process uses of those that it sees; () means all.
    """

    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None
    local_devices: tuple[int, ...] | None = None


def job(
    environment: Mapping[str, str], coordinator: str = "", num_processes: str = "", process_id: str = ""
) -> Job | None:
    """Returns what is known of a run of several processes, None where this process runs alone.

    Slurm and Open MPI tell the number of processes, so that flags may leave it out. With Slurm it is the
    step's (SLURM_STEP_NUM_TASKS): a batch script is no step, and what it starts without srun runs alone.

    Args:
      environment: the variables of this process.
      coordinator: a flag, "HOST:PORT" of process 0 or "auto"; "" where it is not given.
      num_processes: likewise; "1" means alone, whatever the environment says.
      process_id: likewise, counted from 0.

    Raises:
      InputError: flags that do not fit one another, or leave out what the environment does not tell.
    """
    given = Job(
        coordinator=coordinator or environment.get(COORDINATOR) or None,
        processes=_number("num_processes", num_processes, least=1),
        process_id=_number("process_id", process_id, least=0),
    )
    if given.processes == 1:
        if given.process_id:
            raise InputError(f"--process_id={process_id} is none of --num_processes=1: count from 0.")
        return None
    if coordinator == AUTO:
        return _auto(given)
    if given.coordinator:
        _check_address(given.coordinator)
    told = _told(environment)
    flags = (coordinator, num_processes, process_id)
    if not any(flags) and told == Job():
        return told
    if not any(flags) and not given.coordinator and told is None:
        return None
    return _complete(given, told or Job(), detects=told is not None and _detects(environment))


def _auto(given: Job) -> Job:
    if given.processes is not None or given.process_id is not None:
        raise InputError(
            f"--coordinator={AUTO} leaves --num_processes and --process_id to JAX: leave them out, or name "
            "the coordinator as HOST:PORT."
        )
    return Job()


def _complete(given: Job, told: Job, *, detects: bool) -> Job:
    """Returns a job of which all is known that JAX does not find out by itself."""
    found = Job(
        given.coordinator,
        told.processes if given.processes is None else given.processes,
        told.process_id if given.process_id is None else given.process_id,
        told.local_devices,
    )
    if found.processes is None or found.process_id is None:
        missing = "--num_processes" if found.processes is None else "--process_id"
        raise InputError(
            f"{missing} is missing: several processes need --coordinator=HOST:PORT, --num_processes and "
            "--process_id, the last another one for each of them."
        )
    if found.coordinator is None and not detects:
        raise InputError(
            "--coordinator is missing: name the machine of process 0 and a free port of it as HOST:PORT."
        )
    if found.process_id >= found.processes:
        raise InputError(
            f"--process_id={found.process_id} is none of --num_processes={found.processes}: count from 0."
        )
    return found


def _told(environment: Mapping[str, str]) -> Job | None:
    """Returns what launchers tell of a job of several processes, None where there is none.

    Where mpirun starts its helpers by Slurm's srun, processes have the variables of that step, too, which
    counts the helpers: Open MPI's are looked at first, as JAX does.
    """
    ranks = _read(environment, "OMPI_COMM_WORLD_SIZE")
    if ranks > 1 and "OMPI_COMM_WORLD_RANK" in environment:
        beside = _read(environment, "OMPI_COMM_WORLD_LOCAL_SIZE")
        return _launched(environment, ranks, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", beside)
    tasks = _read(environment, "SLURM_STEP_NUM_TASKS")
    if tasks > 1 and "SLURM_PROCID" in environment:
        most = max(_counts(environment.get("SLURM_STEP_TASKS_PER_NODE", "")), default=0)
        return _launched(environment, tasks, "SLURM_PROCID", "SLURM_LOCALID", most)
    workers = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES") or ""
    if len(workers.split(",")) > 1 or _read(environment, "MEGASCALE_NUM_SLICES") > 1:
        return Job()
    indexed = {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= environment.keys()
    return Job() if indexed and find_spec("kubernetes") else None


def _detects(environment: Mapping[str, str]) -> bool:
    """Whether JAX finds the coordinator of a job of Slurm or Open MPI; the fifth Open MPI tells none."""
    return "SLURM_STEP_NODELIST" in environment or "OMPI_MCA_orte_hnp_uri" in environment


def _launched(environment: Mapping[str, str], processes: int, rank: str, local: str, beside: int) -> Job:
    """Returns the job of a launcher that numbers its processes.

    Args:
      environment: the variables of this process.
      processes: how many there are.
      rank: the variable with this one's number.
      local: the variable with its number on its machine.
      beside: how many there are on a machine, 0 where it is not known.
    """
    found = Job(processes=processes, process_id=_read(environment, rank))
    if "JAX_LOCAL_DEVICE_IDS" in environment:  # JAX reads it
        return found
    return replace(found, local_devices=_share(_visible(environment), _read(environment, local), beside))


def _share(visible: int, number: int, beside: int) -> tuple[int, ...] | None:
    """Returns which of its machine's GPUs a process uses.

    JAX would give each the one of its own number, also where it is alone on its machine, and where the
    launcher shows it only one.
    """
    if beside == 1 or visible == 1:
        return ()
    if visible and beside and visible % beside == 0:
        each = visible // beside
        return tuple(range(number * each, (number + 1) * each))
    return None


def _visible(environment: Mapping[str, str]) -> int:
    """Returns how many GPUs this process sees, 0 where nothing is said."""
    for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        if environment.get(name):
            return len(environment[name].split(","))
    return 0


def _counts(tasks_per_node: str) -> list[int]:
    """Returns the numbers of tasks in "4(x2),3", as Slurm writes them of its machines."""
    numbers = [part.partition("(")[0] for part in tasks_per_node.split(",")]
    return [int(number) for number in numbers if number.isdecimal()]


def _read(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    return int(text) if text.isdecimal() else 0


def _number(flag: str, text: str, least: int) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or int(text) < least:
        raise InputError(f"--{flag} is {text!r}: give a whole number, {least} or more.")
    return int(text)


def _check_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(
            f"The coordinator is {address!r}: give the name or address of process 0's machine and a free "
            "port of it, as --coordinator=HOST:PORT."
        )
