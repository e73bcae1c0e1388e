"""Photos that are drawn as files: what they show, and that nothing of others is replaced."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import draw
from datasets.supports import list_queries, read_supports, read_truth

CLASSES = ("heart_confetti", "plus_dots")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Three photos with masks of two classes each, and eight without."""
    folder = tmp_path_factory.mktemp("drawn") / "drawn"
    names = ",".join(CLASSES)
    assert draw.main(["draw", f"--out={folder}", f"--classes={names}", "--shown=3", "--photos=8"]) == 0
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_read_as_supports_queries_and_truth(drawn):
    supports = read_supports(str(drawn / "shown"))
    assert supports.classes == CLASSES
    assert [photo.name for photo in supports.photos] == [f"{name}/{k}" for name in CLASSES for k in (1, 2, 3)]
    for photo in supports.photos:
        assert set(np.unique(photo.mask)) == {0, CLASSES.index(photo.name.split("/")[0]) + 1}

    names = [query.name for query in list_queries(str(drawn / "photos"))]
    truth = read_truth(str(drawn / "truth"), supports.classes, names)
    assert truth.without == ()
    shown = []
    for name in names:
        with Image.open(drawn / "photos" / f"{name}.jpg") as photo:
            mask = truth[name].read(photo.size[::-1])
        shown.append(set(np.unique(mask).tolist()) - {0, 255})
    assert shown == [{1}, {2}, {1, 2}, set(), {1}, {2}, {1, 2}, set()]


def test_the_same_command_draws_the_same_and_replaces_what_it_drew(drawn):
    names = ",".join(CLASSES)
    (drawn / "photos" / "99.jpg").write_bytes(b"mine")
    (drawn / "notes.txt").write_text("mine")
    before = contents(drawn)
    assert draw.main(["draw", f"--out={drawn}", f"--classes={names}", "--shown=3", "--photos=8"]) == 0
    assert contents(drawn) == before


def test_a_drawn_mask_that_was_changed_is_not_replaced(tmp_path, capsys):
    given = "draw", f"--out={tmp_path}/drawn", "--shown=1", "--photos=1"
    assert draw.main([*given]) == 0
    mask = tmp_path / "drawn" / "shown" / "gear_spokes" / "1.png"
    mask.write_bytes(b"corrected")
    assert draw.main([*given]) == 2
    assert f"{mask} was changed since this program wrote it: move it" in capsys.readouterr().err
    assert mask.read_bytes() == b"corrected"
    mask.unlink()
    assert draw.main([*given, "--classes=plus_dots"]) == 0
    assert sorted(path.name for path in (tmp_path / "drawn" / "shown").iterdir()) == ["plus_dots"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--out={folder}"], "holds other files: name a new folder."),
        ([], "Name the folder to make with --out."),
        (["--out={folder}/new", "--classes=heart_confeti"], "does not have: is it heart_confetti?"),
        (["--out={folder}/new", "--classes=plus_dots,,"], "names '', which"),
        (["--out={folder}/new", "--photos=0"], "--photos is 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_nothing_is_touched(flags, said, tmp_path, capsys):
    own = tmp_path / "photos" / "mine.jpg"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    assert draw.main(["draw", *(flag.format(folder=tmp_path) for flag in flags)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error
    assert contents(tmp_path) == {Path("photos/mine.jpg"): b"mine"}
