"""Notebooks run as they are committed, on tiny settings; their commands are understood at either scale."""

import base64
import re
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell

import reproduce
from datasets import shapes
from fsjax import experiment
from tests import test_docs
from tests.conftest import CACHE
from tests.runs import prnet_config, toy_sources

NOTEBOOKS = sorted(Path(__file__).parents[1].glob("notebooks/*.ipynb"))
QUICKSTART, OWN_PHOTOS, COLAB = (Path(__file__).parents[1] / "notebooks" / name for name in (
    "quickstart_colab.ipynb", "own_photos_colab.ipynb", "reproduce_colab.ipynb"
))  # fmt: skip
SECONDS = 300  # a cell may take

TINY = (
    "--config.model.backbone_options.widths=4,4,8", "--config.train.steps=3", "--config.train.warmup=1",
    "--config.train.ways=2", "--config.train.queries=1", "--config.train.size=32", "--config.eval.size=32",
    "--config.eval.episodes=4", "--config.eval.adapt_episodes=2", "--config.eval.batch_size=2",
)  # fmt: skip

OF_SCALE = {
    "shapes": {"CONFIG": "prnet_shapes"},
    "paper": {"CONFIG": "prnet_pascal", "TABLES": "prnet/table1,prnet/figure3"},
}
"""What the text says to set beside SCALE, and what the notebook itself then does."""


@pytest.fixture(autouse=True)
def jupyter_stays_here(monkeypatch, tmp_path):
    """Jupyter would write to the user's home, and find kernels of other interpreters there."""
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # a test must not install anything into who runs it


@pytest.fixture(scope="module")
def few_shapes(tmp_path_factory):
    """The folder of an embedded benchmark of few pictures."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "SPLITS", {"train": 80, "test": 80})
        shapes.prepare(folder)
    return folder


def executed(path, **parameters):
    """Returns a notebook after running it where Jupyter does, with a cell behind that of its parameters."""
    book = nbformat.read(path, as_version=4)
    (place,) = (i for i, cell in enumerate(book.cells) if "parameters" in cell.metadata.get("tags", []))
    assert all(f"\n{name} = " in book.cells[place].source for name in parameters)
    lines = ["import sys", f"assert sys.executable == {sys.executable!r}"]
    lines += [f"{name} = {value!r}" for name, value in parameters.items()]
    book.cells.insert(place + 1, new_code_cell("\n".join(lines)))
    NotebookClient(book, timeout=SECONDS, resources={"metadata": {"path": str(path.parent)}}).execute()
    return book


def shown(book, kind):
    """Returns what the cells display of a kind, as "image/png"."""
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


def commands(path, **parameters):
    """Returns the command lines of our programs, as a shell is given them with the parameters' values."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    values: dict[str, object] = {}
    exec(next(cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])), values)
    values |= parameters
    text = "\n".join(cell.source for cell in cells).replace("\\\n", " ")
    lines = re.findall(r"!\{PYTHON\} (?:-m )?((?:\w+\.py|datasets\.\w+|fsjax\.\w+) .*)", text)
    return [re.sub(r"\{([^}]+)\}", lambda match: str(eval(match[1], values)), line) for line in lines]


@pytest.mark.slow
def test_on_tiny_settings_the_table_and_the_figures_are_shown(few_shapes, tmp_path):
    fields = [*TINY, f"--config.data.tfds_dir={few_shapes}", f"--config.compilation_cache={CACHE}"]
    tables, work = "prnet/table1,prnet/figure3", tmp_path / "work"
    book = executed(COLAB, TABLES=tables, WORKDIR=str(work), FIELDS=" ".join(fields))

    folder = work / "shapes" / "tables"
    texts, pictures = shown(book, "text/markdown"), shown(book, "image/png")
    assert (folder / "prnet_table1.md").read_text() in texts
    assert (folder / "trainings.md").read_text() in texts
    (ours,) = re.findall(r"^\| +\| this run +\|(.*)\|$", "\n".join(texts), re.MULTILINE)
    assert [i for i, cell in enumerate(ours.split("|")) if "not run" not in cell] == [0, 5]  # shots 1, 5
    (curve,) = work.glob("shapes/runs/*/learning_curve.png")
    drawn = [work / "look" / "dry_run.png", folder / "prnet_figure3.png", curve]
    assert [base64.b64decode(picture) for picture in pictures] == [file.read_bytes() for file in drawn]


def test_the_quickstart_shows_episodes_a_table_and_a_curve(few_shapes, tmp_path):
    fields = [*TINY, "--config.eval.rows=fusion2", "--config.eval.pictures=1"]
    fields += [f"--config.data.tfds_dir={few_shapes}", f"--config.compilation_cache={CACHE}"]
    work = tmp_path / "work"
    book = executed(QUICKSTART, WORKDIR=str(work), FIELDS=" ".join(fields))

    said = "".join(output.get("text", "") for cell in book.cells for output in cell.get("outputs", []))
    assert f"JAX {version('jax')} stays as it is" in said
    assert "'step': 3" in said
    assert shown(book, "text/markdown") == [(work / "results.md").read_text()]
    drawn = [work / f"{name}.png" for name in ("episodes", "learning_curve")]
    pictures = [base64.b64decode(picture) for picture in shown(book, "image/png")]
    assert pictures == [file.read_bytes() for file in drawn]


@pytest.mark.slow
def test_own_photos_are_drawn_segmented_shown_and_packed(tmp_path):
    experiment.train(prnet_config(), toy_sources(tmp_path), tmp_path / "model")
    out, flags = tmp_path / "found", f"--config.compilation_cache={CACHE}"
    book = executed(
        OWN_PHOTOS, DRAWN=str(tmp_path / "drawn"), MODEL=str(tmp_path / "model"), OUT=str(out), FLAGS=flags
    )

    pictures = [base64.b64decode(picture) for picture in shown(book, "image/jpeg")]
    assert pictures == [file.read_bytes() for file in sorted(out.glob("overlays/*.jpg"))]
    assert len(pictures) == 12
    said = "".join(output.get("text", "") for cell in book.cells for output in cell.get("outputs", []))
    assert (out / "summary.csv").read_text() in said
    with zipfile.ZipFile(tmp_path / "found.zip") as archive:
        assert {"index.html", "annotations.json", "masks/01.png"} <= set(archive.namelist())


def test_photos_that_are_named_are_taken(tmp_path):
    drawing, predicting = commands(OWN_PHOTOS, SHOWN="mine/shown", PHOTOS="mine/photos")
    for line in (drawing, predicting):
        test_docs.test_a_command_is_understood(line)
    assert predicting.startswith('predict.py --support="mine/shown" --query="mine/photos"')


def test_no_notebook_is_left_out():
    assert sorted([QUICKSTART, OWN_PHOTOS, COLAB]) == NOTEBOOKS


@pytest.mark.slow
def test_a_command_that_fails_stops_the_notebook(tmp_path):
    with pytest.raises(CellExecutionError, match="It failed: see its last line") as stopped:
        executed(COLAB, WORKDIR=str(tmp_path / "work"), FIELDS="--config.nothing=1")
    assert "error: The configuration has no field nothing" in str(stopped.value)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_every_command_is_followed_by_a_look_at_its_exit_code(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    text = "\n".join(cell.source.replace("\\\n", " ") for cell in cells)
    after = re.findall(r"!\{PYTHON\}.*\n *(.*)", text)
    assert len(after) == text.count("!{PYTHON}") > 0
    assert {line.split(",")[0] for line in after} == {"assert _exit_code == 0"}


def test_the_quickstarts_command_is_understood():
    (line,) = commands(QUICKSTART)
    test_docs.test_a_command_is_understood(line)


@pytest.mark.parametrize("scale", OF_SCALE)
def test_its_commands_are_understood(scale, tmp_path, capsys):
    asked = commands(COLAB, SCALE=scale, WORKDIR=str(tmp_path), **OF_SCALE[scale])
    assert [line.split()[0] for line in asked] == [
        "datasets.prepare", "train.py", "reproduce.py", "reproduce.py",
    ]  # fmt: skip
    *others, plan, run = asked
    for line in others:
        test_docs.test_a_command_is_understood(line)
    assert plan.replace(" --dry_run", "") == run
    assert reproduce.main(plan.replace('"', "").split()) == 0
    said = capsys.readouterr().out
    assert "fold=0" in said
    assert "COCO" not in said


def test_the_tables_for_the_papers_scale_are_named():
    assert f'"{OF_SCALE["paper"]["TABLES"]}"' in COLAB.read_text().replace('\\"', '"')


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_what_is_committed_is_whole_and_holds_no_outputs(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.id for cell in cells if cell.outputs or cell.execution_count] == []
    test_docs.test_what_is_named_is_there(path)
