"""What a notebook installs before all else: JAX for its machine, and never in place of one that will do."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from notebooks import install

LOW = {requirement.split(">=")[0]: requirement.split(">=")[1] for requirement in install.requirements()}
GPU = {"jax-cuda12-plugin": LOW["jax"], "jax-cuda12-pjrt": LOW["jax"]}
NEW_CARD, OLD_DRIVER, OLD_CARD = "580.65.06, 7.5", "550.54.15, 8.0", "581.1, 7.0"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Pretends what is installed and which devices there are; `pip` changes the former and is recorded."""

    class Machine:
        def __init__(self):
            self.packages = {**LOW, "jaxlib": LOW["jax"]}
            self.brought: dict[str, str] = {}  # what pip changes
            self.asked: list[tuple[list[str], list[str]]] = []
            self.exit_code = 0

        def gpu(self, *cards, exit_code=0):
            program = tmp_path / "nvidia-smi"
            lines = "".join(f"echo '{card}'\n" for card in cards)
            program.write_text(f"#!/bin/sh\n{lines}exit {exit_code}\n")
            program.chmod(0o755)

        def tpu(self):
            (tmp_path / "vfio").mkdir()
            (tmp_path / "vfio" / "0").touch()

        def pip(self, wanted, constraints):
            self.asked.append((wanted, constraints))
            self.packages = {**self.packages, **self.brought}
            return self.exit_code

    here = Machine()

    def version(name):
        if name not in here.packages:
            raise metadata.PackageNotFoundError(name)
        return here.packages[name]

    accelerator = install.accelerator
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(install, "versions", lambda: dict(here.packages))
    monkeypatch.setattr(install, "pip", here.pip)
    monkeypatch.setattr(install, "accelerator", lambda: accelerator(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    return here


def test_where_all_is_there_pip_is_not_asked(machine, capsys):
    assert install.main() == 0
    assert machine.asked == []
    assert "fits a CPU" in capsys.readouterr().out


def test_colabs_own_jax_is_kept_whatever_comes_beside_it(machine, capsys):
    machine.gpu(OLD_DRIVER)
    machine.packages.update(GPU)
    for name in ("jaxtyping", "ml-collections", "flax"):
        del machine.packages[name]
    machine.brought = {name: LOW[name] for name in ("jaxtyping", "ml-collections", "flax")}
    assert install.main() == 0
    ((wanted, constraints),) = machine.asked
    assert sorted(line.split(">=")[0] for line in wanted) == ["flax", "jaxtyping", "ml-collections"]
    assert constraints == [f"{name}=={LOW['jax']}" for name in ("jax", "jaxlib", "jax-cuda12-plugin")]
    assert "nothing that was there before has changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cards", "build"),
    [
        ([NEW_CARD], "cuda13"),
        ([OLD_DRIVER], "cuda12"),
        ([OLD_CARD], "cuda12"),
        ([NEW_CARD, OLD_CARD], "cuda12"),
    ],
)
def test_a_gpu_gets_the_build_that_its_driver_and_card_can_run(machine, capsys, cards, build):
    machine.gpu(*cards)
    machine.brought = {f"jax-{build}-plugin": LOW["jax"]}
    assert install.main() == 0
    assert machine.asked == [([f"jax[{build}]>={LOW['jax']}"], [])]
    assert f"JAX {LOW['jax']} is without it" in capsys.readouterr().out


def test_an_old_jax_is_replaced_by_the_same_build_and_a_restart_asked_for(machine, capsys):
    machine.gpu(NEW_CARD)
    machine.packages.update(GPU, jax="0.4.33", jaxlib="0.4.33")
    machine.brought = {"jax": "0.12.0", "jaxlib": "0.12.0"}
    assert install.main() == install.RESTART
    assert machine.asked == [([f"jax[cuda12]>={LOW['jax']}"], [])]
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("Restart the runtime")
    assert "jax 0.4.33 is now 0.12.0" in last
    machine.asked.clear()
    assert install.main() == 0  # after the restart
    assert machine.asked == []


def test_a_newer_protobuf_is_no_reason_to_restart(machine, capsys):
    """Colab's is older than what TFDS' metadata needs; a kernel that has only started has not loaded it."""
    machine.packages["protobuf"] = "5.29.6"
    machine.brought = {"protobuf": "7.36.2"}
    assert install.main() == 0
    ((wanted, _),) = machine.asked
    assert wanted == [f"protobuf>={LOW['protobuf']}"]
    assert "Installed: protobuf 5.29.6 is now 7.36.2." in capsys.readouterr().out
    machine.packages.update(protobuf="5.29.6", numpy="2.0.2")
    machine.brought["numpy"] = "2.4.0"
    assert install.main() == install.RESTART
    assert "numpy 2.0.2 is now 2.4.0" in capsys.readouterr().out


def test_a_kernel_that_has_only_started_has_no_late_package_loaded():
    """Jupyter's, with what notebooks/*.ipynb import before they import fsjax."""
    code = "import sys, ipykernel.ipkernel, IPython.display; print('google.protobuf' in sys.modules)"
    assert install.LATE == ("protobuf",)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_no_jax_at_all_is_no_reason_to_restart(machine, capsys):
    machine.tpu()
    del machine.packages["jax"], machine.packages["jaxlib"]
    machine.brought = {"jax": "0.12.0", "jaxlib": "0.12.0", "libtpu": "0.0.30"}
    assert install.main() == 0
    assert machine.asked == [([f"jax[tpu]>={LOW['jax']}"], [])]
    assert "JAX for a TPU is installed" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [{"exit_code": 9}, {}], ids=["no driver", "no card"])
def test_nvidias_program_alone_is_no_gpu(machine, answer):
    machine.gpu(**answer)
    assert install.main() == 0
    assert machine.asked == []


def test_who_asks_for_the_cpu_gets_no_other_build(machine, monkeypatch):
    machine.gpu(NEW_CARD)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert install.main() == 0
    assert machine.asked == []


def test_pips_failure_is_told(machine, capsys):
    del machine.packages["numpy"]
    machine.exit_code = 1
    assert install.main() == install.FAILED
    assert capsys.readouterr().out.endswith("pip failed: its last lines say why.\n")


def test_versions_are_compared_by_their_numbers():
    assert install.numbers("0.10.2") > install.numbers("0.9.0.1") > install.numbers("0.9.0")
    assert install.numbers(" 2.11.0+cu128") == (2, 11, 0)


def test_pip_is_given_the_constraints(monkeypatch):
    def run(command):
        file = Path(command[command.index("--constraint") + 1])
        commands.append((command[-2:], file.read_text()))
        return subprocess.CompletedProcess(command, 7)

    commands: list[tuple[list[str], str]] = []
    monkeypatch.setattr(subprocess, "run", run)
    assert install.pip(["flax>=0.11", "tqdm"], ["jax==0.7.2", "jaxlib==0.7.2"]) == 7
    assert commands == [(["flax>=0.11", "tqdm"], "jax==0.7.2\njaxlib==0.7.2")]


def test_it_needs_the_standard_library_alone():
    nodes = list(ast.walk(ast.parse(Path(install.__file__).read_text())))
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert "tomllib" in names
    assert names <= set(sys.stdlib_module_names)
