"""A folder of answers: what an earlier prediction wrote is replaced, and nothing else is ever touched."""

import json
import os

import pytest

from fsjax.errors import InputError
from fsjax.files import claimed
from fsjax.prediction.own_files import LIST, check_free, emptied


def written(folder, *names, content=b"ours"):
    """Files of a prediction that ended."""
    with emptied(folder) as files:
        for name in names:
            files.write(name, content)


def there(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name[0] != ".")


def refused(folder):
    with pytest.raises(InputError) as raised, emptied(folder):
        pytest.fail("it was entered")
    return str(raised.value)


@pytest.fixture
def place(tmp_path):
    written(tmp_path / "found", "masks/a.png", "masks/more/b.png", "summary.csv")
    return tmp_path / "found"


def test_what_was_written_is_removed_with_the_folders_that_held_it(place):
    assert there(place) == ["masks/a.png", "masks/more/b.png", "summary.csv"]
    written(place, "summary.csv", content=b"new")
    assert there(place) == ["summary.csv"]
    assert (place / "summary.csv").read_bytes() == b"new"
    assert sorted(os.listdir(place)) == [".claimed", LIST, "summary.csv"]


def test_the_users_files_beside_ours_survive(place):
    for name in ("masks/mine.png", "masks/more/mine.png", "notes.txt", "maps/x.png", "masks/.a.png"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(b"mine")
    written(place, "summary.csv")
    left = ["maps/x.png", "masks/mine.png", "masks/more/mine.png", "notes.txt", "summary.csv"]
    assert there(place) == left
    assert (place / "masks" / ".a.png").read_bytes() == b"mine"


def test_a_file_of_ours_that_was_changed_is_the_users(place):
    """As a mask that was corrected by hand."""
    (place / "masks" / "a.png").write_bytes(b"corrected")
    assert f"{place}/masks/a.png was changed since this program wrote it: move it" in refused(place)
    assert there(place) == ["masks/a.png", "masks/more/b.png", "summary.csv"]
    (place / "masks" / "a.png").rename(place / "mine.png")
    written(place, "summary.csv")
    assert there(place) == ["mine.png", "summary.csv"]


def test_nothing_takes_the_place_of_a_users_file(place):
    (place / "masks" / "c.png").write_bytes(b"mine")
    with emptied(place) as files:
        with pytest.raises(InputError, match=r"masks/c.png is there, and this program did not"):
            files.write("masks/c.png", b"ours")
        files.remove(["masks/c.png"])
    assert (place / "masks" / "c.png").read_bytes() == b"mine"


def test_a_folder_of_another_programs_files_is_refused(place):
    with pytest.raises(InputError, match="holds other files"), emptied(place, ".drawn"):
        pytest.fail("it was entered")
    assert there(place) == ["masks/a.png", "masks/more/b.png", "summary.csv"]


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    assert refused(tmp_path) == f"{tmp_path} holds other files: name a new folder."
    assert os.listdir(tmp_path) == ["photo.jpg"]
    file = tmp_path / "photo.jpg"
    assert refused(file) == f"{file} is no folder: name a new one."
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert "is no folder" in refused(tmp_path / "link")


def test_one_that_was_claimed_and_not_written_to_is_free(tmp_path):
    with claimed(tmp_path / "found"):
        pass
    written(tmp_path / "found", "a")
    (tmp_path / "empty").mkdir()
    written(tmp_path / "empty", "a")
    assert check_free(tmp_path / "new") == {}


def test_links_are_never_followed(place, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"ours")  # the very bytes
    (place / "masks" / "a.png").unlink()
    (place / "masks" / "a.png").symlink_to(tmp_path / "photo.jpg")
    assert "masks/a.png was changed since" in refused(place)
    assert (tmp_path / "photo.jpg").read_bytes() == b"ours"


def test_a_list_that_leads_out_of_the_folder_removes_nothing_there(place, tmp_path):
    victim = tmp_path / "photo.jpg"
    victim.write_bytes(b"ours")
    sha256 = json.loads((place / LIST).read_text().split("\n")[1])[1]
    with (place / LIST).open("a") as file:
        for name in ("../photo.jpg", str(victim), "masks/../../photo.jpg"):
            file.write(f"\n{json.dumps([name, sha256])}")
        file.write('\nnull\n[1, 2]\n["masks/no.png"]\n[["a"], "b"]\n\xff')
    written(place, "summary.csv")
    assert victim.read_bytes() == b"ours"


def test_a_killed_prediction_leaves_nothing_that_is_not_listed(place, monkeypatch):
    """Its lines come first: one may be cut short by a full disk, or its file never have been written."""
    with emptied(place) as files:
        files.write("masks/a.png", b"ours")
        with (place / LIST).open("a") as file:
            file.write('\n["masks/cut')
        files.write("masks/b.png", b"ours")
        with (place / LIST).open("a") as file:
            file.write(f'\n["masks/never.png", "{"0" * 64}"]')
        (place / "masks" / ".never.png.123.0123abcd").write_bytes(b"half")
        (place / "masks" / ".mine.png.123.0123abcd").write_bytes(b"mine")
    written(place, "summary.csv")
    assert there(place) == ["summary.csv"]
    assert os.listdir(place / "masks") == [".mine.png.123.0123abcd"]


def test_what_this_prediction_wrote_can_be_removed(place):
    with emptied(place) as files:
        files.write("masks/a.png", b"ours")
        files.write("masks/b.png", b"ours")
        files.remove(["masks/a.png", "masks/never.png"])
        assert there(place) == ["masks/b.png"]
        files.write("masks/a.png", b"again")


def test_two_processes_do_not_write_at_once(place):
    with claimed(place):
        assert "Another process is at work in" in refused(place)
    assert there(place) == ["masks/a.png", "masks/more/b.png", "summary.csv"]
