"""predict.py with photos that fail among good ones, with folders that hold others' files, and cut short."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import predict
from fsjax.files import claimed
from fsjax.prediction import own_files
from fsjax.segmenter import overlay
from tests.commands.own_photos import drawn, mask_of, saved, segment, show, table
from tests.commands.programs import files

CLASSES = "cup", "jar"
ROOT = Path(predict.__file__).parent


@pytest.fixture
def place(tmp_path):
    """Supports, and three photos."""
    show(tmp_path / "shown", classes=CLASSES)
    for number, name in enumerate("abc"):
        saved(tmp_path / "photos" / f"{name}.png", drawn(number)[0])
    return tmp_path


def answered(folder):
    """The names of masks, after making sure that each has its overlay and that nothing is half-written."""
    masks, overlays = ({p.stem for p in (folder / kind).glob("*")} for kind in ("masks", "overlays"))
    assert masks == overlays
    assert not [path for path in files(folder) if path.name.startswith(".") and path.name.count(".") > 1]
    return masks


@pytest.fixture
def failing(place, untrained, capsys):
    """Runs predict.py where some photos fail; returns the last sentence, and the errors by photo."""

    def run(*flags, code=2, **names):
        assert segment(place, f"--model={untrained}", *flags, **names) == code
        last = capsys.readouterr().err.splitlines()[-1]
        found = place / names.get("out", "found")
        if not (found / "summary.csv").exists():
            return last, {}
        return last, {row["photo"]: row["error"] for row in table(found) if row["error"]}

    return run


def test_bad_photos_among_good_ones_are_named_and_the_others_done(place, failing):
    photos = place / "photos"
    whole = (photos / "a.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.jpg").write_text("no picture")
    os.mkfifo(photos / "pipe.png")
    (photos / "gone.png").symlink_to(place / "nowhere")
    last, errors = failing("--batch=2")
    assert errors.keys() == {"cut", "empty", "text", "pipe", "gone"}
    assert all(str(photos / name) in sentence for name, sentence in errors.items())
    assert "no ordinary file" in errors["pipe"]
    expected = (
        f"error: 5 of 8 photos failed, {photos}/cut.png the first: summary.csv says why; all others are done."
    )
    assert last == expected
    assert answered(place / "found") == {"a", "b", "c"}
    rows = [row for row in table(place / "found") if row["photo"] == "cut"]
    assert [(row["class"], row["area"], row["iou"]) for row in rows] == [("", "", "")]
    assert '"cut"' in (place / "found" / "index.html").read_text()


def test_a_photo_that_vanishes_is_one_that_fails(place, failing, monkeypatch):
    def vanishing(path):
        (place / "photos" / "b.png").unlink(missing_ok=True)
        return read(path)

    module = sys.modules["fsjax.prediction.predict"]  # the package has a function of that name
    read = module.read_photo
    monkeypatch.setattr(module, "read_photo", vanishing)
    _, errors = failing()
    assert errors.keys() == {"b"}
    assert errors["b"].startswith(f"There is no file {place}/photos/b.png")
    assert answered(place / "found") == {"a", "c"}


def test_strict_stops_at_the_first(place, failing):
    (place / "photos" / "b.png").write_bytes(b"no picture")
    last, errors = failing("--strict")
    assert last.startswith(f"error: {place}/photos/b.png is damaged, or no picture")
    assert errors == {}
    assert answered(place / "found") <= {"a"}


def test_a_bad_truth_costs_a_score_and_no_mask(place, failing):
    for name in "ac":
        saved(place / "truth" / f"{name}.png", drawn(0)[1])
    saved(place / "truth" / "b.png", drawn(0, 20, 20)[1])
    last, errors = failing(f"--truth={place}/truth")
    assert errors.keys() == {"b"}
    assert "b.png is 20x20 and the query 36x44 pixels (height x width): make them equal." in errors["b"]
    assert "1 of 3 photos failed" in last
    assert answered(place / "found") == {"a", "b", "c"}
    ious = {row["photo"]: row["iou"] for row in table(place / "found") if row["class"] == "cup"}
    assert (ious["b"], ious["a"] != "") == ("", True)


def full_disk(monkeypatch, fails):
    """Writing a file's bytes fails where its name says so, in the middle."""
    write = Path.write_bytes

    def refusing(path, content):
        if fails(path.name):
            write(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write(path, content)

    monkeypatch.setattr(own_files.Path, "write_bytes", refusing)


def test_a_disk_that_is_full_for_a_photo_leaves_none_of_its_files(place, failing, monkeypatch):
    full_disk(monkeypatch, lambda name: name.startswith(".b.jpg"))
    _, errors = failing()
    assert errors == {
        "b": f"What was found in {place}/photos/b.png cannot be written (No space left on device): make room "
        "on the disk."
    }
    assert answered(place / "found") == {"a", "c"}


def test_a_disk_that_is_full_for_the_table_is_a_sentence(place, failing, monkeypatch):
    full_disk(monkeypatch, lambda name: "summary.csv" in name)
    last, errors = failing()
    assert last == (
        f"error: The system refused {place}/found/summary.csv: No space left on device: make room or name "
        "another place."
    )
    assert errors == {}
    monkeypatch.undo()
    assert failing(code=0)[1] == {}
    assert answered(place / "found") == {"a", "b", "c"}


def test_a_limit_of_the_system_on_files_is_a_sentence_too(place, failing):
    """The page is the largest file, and the last to be written."""
    assert failing(code=0)[1] == {}
    sizes = {path.name: len(content) for path, content in files(place / "found").items()}
    limits, largest = resource.getrlimit(resource.RLIMIT_FSIZE), sizes.pop("index.html")
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, ((max(sizes.values()) + largest) // 2, limits[1]))
        last, _ = failing()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert last.startswith(f"error: The system refused {place}/found/index.html: File too large")
    assert not (place / "found" / "index.html").exists()
    assert answered(place / "found") == {"a", "b", "c"}
    assert failing(code=0)[1] == {}


def test_a_folder_of_other_files_is_refused_before_anything_is_done(place, failing):
    (place / "other").mkdir()
    (place / "other" / "mine.txt").write_text("mine")
    last, _ = failing(out="other")
    assert last == f"error: {place}/other holds other files: name a new folder."
    photos = files(place / "photos")
    last, _ = failing(out="photos")
    assert last == f"error: {place}/photos holds other files: name a new folder."
    assert files(place / "photos") == photos


def test_answers_beside_photos_are_no_photos(place, failing):
    photos = files(place / "photos")
    for _ in range(2):
        assert failing(out="photos/found", code=0)[1] == {}
        assert answered(place / "photos" / "found") == {"a", "b", "c"}
    (place / "link").symlink_to(place / "photos" / "found")
    assert failing(out="link", code=0)[1] == {}
    assert {path: content for path, content in files(place / "photos").items() if path in photos} == photos


def test_photos_that_were_put_among_answers_stay(place, failing):
    assert failing(code=0)[1] == {}
    mine = saved(place / "found" / "masks" / "mine.png", drawn(5)[0])
    content = mine.read_bytes()
    assert failing(code=0)[1] == {}
    assert mine.read_bytes() == content
    last, _ = failing(query="found")
    assert last.startswith(f"error: All photos of {place}/found lie in {place}/found, where the answers go")
    Image.fromarray(drawn(5)[1]).save(place / "found" / "masks" / "a.png")
    last, _ = failing()
    assert last.startswith(f"error: {place}/found/masks/a.png was changed since this program wrote it")


def test_truth_and_supports_are_not_taken_from_where_answers_go(place, failing):
    assert failing(code=0)[1] == {}
    before = files(place / "found")
    last, _ = failing(f"--truth={place}/found/masks")
    assert last == (
        f"error: {place}/found/masks/a.png of --truth lies in {place}/found, where the answers go: name "
        "another --out."
    )
    assert files(place / "found") == before


def test_a_second_process_in_the_same_folder_ends_in_a_sentence(place, failing):
    with claimed(place / "found"):
        last, _ = failing()
    assert last.startswith(f"error: Another process is at work in {place}/found: wait for it to end")


def test_classes_of_odd_names_have_maps_of_their_own(place, failing):
    """Two that would be called alike, one of no letters, one that is long."""
    names = ["a/b", "a_b", "A:B", "?", "x" * 300]
    labels = [drawn(k, classes=(k % 2 + 1,)) for k in range(5)]
    for k, (image, mask) in enumerate(labels):
        saved(place / "labels" / "images" / f"{k}.png", image)
        saved(place / "labels" / "masks" / f"{k}.png", np.where(mask > 0, np.uint8(k + 1), np.uint8(0)))
    (place / "labels" / "classes.txt").write_text("\n".join(names))
    assert failing("--maps", "--threshold=0", "--min_presence=0", support="labels", code=0)[1] == {}
    maps = sorted(path.name for path in (place / "found" / "maps").glob("a.*"))
    assert maps == sorted(["a.a_b.png", "a.a_b_2.png", "a.A_B_3.png", "a._.png", f"a.{'x' * 60}.png"])
    assert {row["class"] for row in table(place / "found")} == set(names)
    assert sum(map(int, (row["area"] for row in table(place / "found") if row["photo"] == "a"))) == 36 * 44


def test_photos_and_supports_may_be_named_one_by_one(place, failing):
    image, mask = drawn(10)
    saved(place / "mine" / "x.png", image)
    saved(place / "mine" / "x_mask.png", 255 * mask)
    saved(place / "mine" / "y-mask.png", 255 * mask)
    shown, query = f"mine/x.png,{place}/mine/x_mask.png", f"photos/a.png,{place}/photos/c.png"
    assert failing(code=0, support=shown, query=query)[1] == {}
    assert answered(place / "found") == {"a", "c"}
    assert {row["class"] for row in table(place / "found")} == {"object"}
    assert failing(code=0, support="mine", query="photos/a.png")[1] == {}
    left_out = f"Left out of the supports, without a mask: {place}/mine/y-mask.png."
    assert left_out in (place / "found" / "index.html").read_text()
    last, _ = failing(support="nowhere")
    assert last == (
        f"error: There is neither a folder nor a file {place}/nowhere, which --support names: mend the name."
    )


def raise_for_b(error, place, patch):
    """Lets the overlay of the second photo, which gets a size of its own, raise an error."""

    def overlaid(photo, mask):
        if photo.shape[:2] == (36, 45):
            raise error
        return drawn_over(photo, mask)

    drawn_over = overlay.overlay
    patch.setattr("fsjax.segmenter.segmentation.overlay", overlaid)
    saved(place / "photos" / "b.png", drawn(1, 36, 45)[0])


def test_an_interruption_says_what_is_there_and_leaves_nothing_half_written(place, failing, monkeypatch):
    with monkeypatch.context() as patched:
        raise_for_b(KeyboardInterrupt, place, patched)
        last, _ = failing(code=130)
    assert last == predict.STOPPED
    assert answered(place / "found") == {"a"}
    assert not (place / "found" / "index.html").exists()
    assert failing(code=0)[1] == {}
    assert answered(place / "found") == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--fusion=3", "--fusion is '3': give 0, 1 or 2."),
        ("--threshold=1.5", "--threshold is '1.5': give a number from 0 to 1."),
        ("--min_presence=much", "--min_presence is 'much': give a number from 0 to 1."),
        ("--threshold=nan", "--threshold is 'nan': give a number from 0 to 1."),
        ("--batch=0", "--batch is '0': give a number from 1 to 256."),
        ("--batch=many", "--batch is 'many': give a number from 1 to 256."),
        ("--scales=0.7", "eval.scales"),
        ("--query=", "--query is missing: it names the photos to find it in."),
        ("--model=nowhere", "nowhere"),
        ("--thresh=1", "There is no flag --thresh"),
    ],
)
def test_flags_out_of_their_range_are_refused(flag, sentence, place, failing):
    assert sentence in failing(flag)[0]
    assert not (place / "found").exists()


def test_memory_that_does_not_suffice_for_a_photo_costs_that_photo(place, failing, monkeypatch):
    raise_for_b(MemoryError, place, monkeypatch)
    _, errors = failing()
    assert errors == {
        "b": f"{place}/photos/b.png does not fit into the memory: make it smaller, or leave it out."
    }
    assert answered(place / "found") == {"a", "c"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_after_it_was_stopped_the_same_command_does_all(number, place, untrained, failing):
    for k in range(3000):
        Image.fromarray(drawn(k)[0]).save(place / "photos" / f"{k}.png")
    given = [
        f"--{name}={place}/{of}" for name, of in (("support", "shown"), ("query", "photos"), ("out", "found"))
    ]
    command = [sys.executable, ROOT / "predict.py", *given, f"--model={untrained}"]
    process = subprocess.Popen(command, env={**os.environ, "JAX_PLATFORMS": "cpu"}, stderr=subprocess.PIPE)
    while process.poll() is None and len(list((place / "found" / "masks").glob("*.png"))) < 5:
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate()
    assert process.returncode in (130, -signal.SIGKILL)
    for k in range(3, 3000):
        (place / "photos" / f"{k}.png").unlink()
    assert failing(code=0)[1] == {}
    assert answered(place / "found") == {"a", "b", "c", "0", "1", "2"}
    assert mask_of(place / "found", "a").shape == (36, 44)


@pytest.mark.slow
def test_a_photo_of_a_hundred_million_pixels_is_segmented_in_a_few_gigabytes(place, untrained, monkeypatch):
    """Beside a support of twelve million; the memory is that of the whole process at its most."""
    image, mask = drawn(1, 40, 40)
    Image.fromarray(image).resize((10_000, 10_000)).save(place / "photos" / "large.jpg")
    for kind, pixels in (("images", image), ("masks", 255 * mask)):
        picture = Image.fromarray(pixels).resize((4000, 3000), Image.Resampling.NEAREST)
        picture.save(place / "shown" / "cup" / kind / "large.png")
    given = f"--support={place}/shown", f"--query={place}/photos", f"--out={place}/found", "--threshold=0"
    program = "import resource, sys, predict\ncode = predict.main(['predict.py', *sys.argv[1:]])\n"
    program += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\nsys.exit(code)\n"
    done = subprocess.run(
        [sys.executable, "-c", program, *given, f"--model={untrained}", "--min_presence=0"],
        cwd=ROOT, env={**os.environ, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with Image.open(place / "found" / "masks" / "large.png") as found:
        assert found.size == (10_000, 10_000)
    assert int(done.stdout.split()[-1]) < 4_500_000  # KiB
