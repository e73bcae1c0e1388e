"""Installs what the commands of a clone need into the Python that runs this, as the notebooks do.

    python notebooks/install.py

A JAX that is new enough and made for this machine's accelerator stays as it is, as Colab's own. Where there
is none, the build for the GPU or TPU is installed. Needs the standard library alone. The exit code is 0 when
all is there, 1 when pip failed, and 3 when another version has come in place of one that was there: a running
notebook may still have the former one loaded, and has to be restarted first. Of what no notebook loads before
it imports fsjax (`LATE`) another version is only told.
"""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

CLONE = Path(__file__).resolve().parents[1]
FAILED, RESTART = 1, 3

BUILDS = {"cuda12": "jax-cuda12-plugin", "cuda13": "jax-cuda13-plugin", "tpu": "libtpu"}
"""JAX's builds for accelerators, and the package that each of them brings."""

CUDA13 = (580,), (7, 5)
"""The driver and the compute capability that JAX's builds for CUDA 13 ask for at least."""

LATE = ("protobuf",)
"""Packages that neither Jupyter's kernel for Python nor Colab's imports by itself."""


def requirements() -> list[str]:
    """Returns the requirements of the library and of the data sets, as "numpy>=2.1"."""
    project = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]
    return project["dependencies"] + project["optional-dependencies"]["datasets"]


def numbers(version: str) -> tuple[int, ...]:
    """Returns a version's numbers for comparing: those of "2.11.0+cu128" are (2, 11, 0)."""
    found = re.match(r"\d+(?:\.\d+)*", version.strip())
    return tuple(map(int, found[0].split("."))) if found else ()


def installed(name: str) -> str | None:
    """Returns the version of a package that is installed, None where it is not."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def satisfied(requirement: str) -> bool:
    """Says whether a requirement, a name and a lower bound, is met by what is installed."""
    name, lowest = requirement.split(">=")
    version = installed(name)
    return version is not None and numbers(version) >= numbers(lowest)


def accelerator(devices: Path = Path("/dev")) -> str | None:
    """Returns which build of JAX this machine's accelerator wants, one of `BUILDS`; None for a CPU.

    Args:
      devices: the folder of the device files, among which a TPU's chips are.
    """
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return None
    if any([*devices.glob("accel[0-9]*"), *devices.glob("vfio/[0-9]*")]):
        return "tpu"
    if not shutil.which("nvidia-smi"):
        return None
    asked = ["nvidia-smi", "--query-gpu=driver_version,compute_cap", "--format=csv,noheader"]
    answer = subprocess.run(asked, capture_output=True, text=True)
    if answer.returncode or not answer.stdout.strip():  # Colab's CPU machines may have the program alone
        return None
    cards = [[numbers(value) for value in line.split(",")] for line in answer.stdout.strip().splitlines()]
    new = all(driver >= CUDA13[0] and capability >= CUDA13[1] for driver, capability in cards)
    return "cuda13" if new else "cuda12"


def plan(wanted: str | None) -> tuple[str, list[str], list[str]]:
    """Decides about JAX, and with it what is installed.

    Args:
      wanted: see `accelerator`.

    Returns:
      What is done about JAX in a sentence, the requirements that are to be installed, and pip's constraints,
      which keep the JAX that stays from being replaced for another package's sake.
    """
    (jax,) = (requirement for requirement in requirements() if requirement.startswith("jax>="))
    missing = [requirement for requirement in requirements() if not satisfied(requirement)]
    there, machine = installed("jax"), "a CPU" if wanted is None else "a TPU" if wanted == "tpu" else "a GPU"
    present = [build for build, package in BUILDS.items() if installed(package)]
    if wanted in ("cuda12", "cuda13"):  # a build for the other CUDA, which is there, is made for the GPU, too
        wanted = next((build for build in present if build != "tpu"), wanted)
    if satisfied(jax) and (wanted is None or wanted in present):
        kept = [package for package in ("jax", "jaxlib", *BUILDS.values()) if installed(package)]
        constraints = [f"{package}=={installed(package)}" for package in kept]
        return f"JAX {there} stays as it is: it is new enough, and fits {machine}.", missing, constraints
    build = jax if wanted is None else jax.replace("jax", f"jax[{wanted}]")
    if there is None:
        why = "there is no JAX yet"
    elif satisfied(jax):
        why = f"JAX {there} is without it"
    else:
        why = f"JAX {there} is too old"
    said = f"JAX for {machine} is installed, {build}: {why}."
    return said, [build, *(requirement for requirement in missing if requirement != jax)], []


def pip(wanted: list[str], constraints: list[str]) -> int:
    """Has pip install requirements under constraints, and returns its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder, "constraints.txt")).write_text("\n".join(constraints))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        return subprocess.run([*command, "--constraint", str(file), *wanted]).returncode


def versions() -> dict[str, str]:
    """Returns the version of every installed package, of one that lies in several folders the first's."""
    importlib.invalidate_caches()
    return dict(reversed([(package.name, package.version) for package in metadata.distributions()]))


def main() -> int:
    """Installs what is missing, says in sentences what it does, and returns the exit code."""
    said, missing, constraints = plan(accelerator())
    print(said)
    if not missing:
        print("All else that fsjax needs is there, too.")
        return 0
    print(f"Installing {', '.join(missing)}.", flush=True)
    before = versions()
    if pip(missing, constraints):
        print("pip failed: its last lines say why.")
        return FAILED
    after = versions()
    changed = {
        name: f"{name} {old} is now {after.get(name)}"
        for name, old in before.items()
        if after.get(name) != old
    }
    if changed.keys() - set(LATE):
        print(f"Restart the runtime, and run the notebook again from its top: {', '.join(changed.values())}.")
        return RESTART
    told = ", ".join(changed.values()) or "nothing that was there before has changed"
    print(f"Installed: {told}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
