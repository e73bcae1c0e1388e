"""The package as others install it: the library alone, with its runtime dependencies, quick to import."""

import ast
import email
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import fsjax
from fsjax.app.server import FILES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "fsjax").rglob("*.py"))
DEVELOPMENT = ("pytest", "beartype", "ruff", "mypy", "setuptools", "tensorflow_datasets")


def distribution(requirement: str) -> str:
    """Returns the name that a requirement is of."""
    return requirement.split(">=")[0].split("[")[0].lower().replace("_", "-")


def python(program: str) -> str:
    """Runs a program in an interpreter of its own, and returns what it prints."""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    clone, folder = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("wheels")
    for name in ("pyproject.toml", "README.md", "LICENSE", "train.py", "eval.py"):
        shutil.copy(ROOT / name, clone)
    for name in ("fsjax", "datasets", "configs", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", "-w", folder, clone], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        yield archive


def test_the_wheel_ships_the_library_and_nothing_else(wheel):
    about = f"fsjax-{fsjax.__version__}.dist-info"
    shipped = {name for name in wheel.namelist() if not name.startswith(f"{about}/")}
    data = {"fsjax/py.typed", "fsjax/prediction/index.html", "fsjax/reproduction/published.json"}
    data |= {f"fsjax/app/{name}" for name, _ in FILES.values()}
    assert shipped == data | set(map(Path.as_posix, MODULES))
    assert f"{about}/licenses/LICENSE" in wheel.namelist()


def test_the_wheel_asks_for_runtime_dependencies_alone(wheel):
    (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    asked = email.message_from_bytes(wheel.read(metadata)).get_all("Requires-Dist")
    assert [line for line in asked if "extra ==" not in line] == PROJECT["dependencies"]


def test_requirements_are_those_of_the_package_and_a_clone():
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    extras = PROJECT["optional-dependencies"]
    assert [line for line in lines if line] == PROJECT["dependencies"] + extras["datasets"] + extras["dev"]


def test_every_import_of_the_library_is_declared():
    trees = [ast.parse((ROOT / path).read_text()) for path in MODULES]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    foreign = {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"fsjax"}
    declared = set(map(distribution, PROJECT["dependencies"]))
    installed = packages_distributions()
    needed = {name: set(map(distribution, installed[name])) for name in foreign}
    assert [name for name in sorted(foreign) if not needed[name] & declared] == []
    assert declared <= set.union(*needed.values()), "a dependency that nothing imports"


@pytest.mark.slow
def test_the_library_runs_without_what_develops_it():
    modules = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in MODULES]
    python(
        f"import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({DEVELOPMENT}))\n"
        f"for name in {modules}: importlib.import_module(name)"
    )


def test_importing_the_library_does_not_import_jax():
    found = python(
        "import sys, fsjax; print('jax' in sys.modules, fsjax.Segmenter.__name__, fsjax.__version__)"
    )
    assert found.split() == ["False", "Segmenter", fsjax.__version__]


def test_the_changelog_begins_with_this_version():
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]
    assert headings[0] == f"## {fsjax.__version__}"


def test_an_unknown_name_is_missing():
    with pytest.raises(AttributeError, match="no attribute 'Segmentor'"):
        _ = fsjax.Segmentor
