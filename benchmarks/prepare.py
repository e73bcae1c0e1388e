"""Memory and time of preparing a COCO of full size, made of small synthetic photos.

    python -m benchmarks.prepare --annotations=860001 --photos=118287 --out=FOLDER --kill

The annotation file is like that of train2017: 20 to 40 points an object, one in a hundred a crowd with runs;
photos are 64x48. With --kill the build is killed on the way, and started again. Linux only: memory is read
from /proc, and is that of all processes of the build together (resident; what they share counts for each).
"""

import argparse
import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from datasets.coco20i import CLASS_NAMES
from datasets.prepared import about_of, is_prepared, place_of
from datasets.shards import PER_SHARD

HEIGHT, WIDTH = 48, 64
NAME = "synthetic"
SECONDS_BETWEEN_SAMPLES = 0.25


def polygon(rng):
    """Returns a star-shaped outline as text."""
    points = int(rng.integers(20, 41))
    angles = np.sort(rng.uniform(0, 2 * np.pi, points))
    radius = rng.uniform(0.3, 1, points) * rng.uniform(3, 24)
    x = np.clip(rng.uniform(0, WIDTH) + radius * np.cos(angles), 0, WIDTH)
    y = np.clip(rng.uniform(0, HEIGHT) + radius * np.sin(angles), 0, HEIGHT)
    return json.dumps([np.stack([x, y], 1).ravel().round(2).tolist()])


def crowd(rng):
    """Returns runs as text."""
    pixels = rng.random((HEIGHT, WIDTH)) < 0.3
    counts = coco_mask.encode(np.asfortranarray(pixels, np.uint8))["counts"].decode()
    return json.dumps({"size": [HEIGHT, WIDTH], "counts": counts})


def write_annotations(path, photos, annotations, rng):
    outlines, crowds = [polygon(rng) for _ in range(5000)], [crowd(rng) for _ in range(100)]
    images = [
        {"id": n, "file_name": f"{n:012}.jpg", "height": HEIGHT, "width": WIDTH, "license": 1}
        for n in range(photos)
    ]
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASS_NAMES, 1)]
    of_image = rng.integers(0, photos, annotations)
    of_category = np.minimum(rng.geometric(0.06, annotations), len(CLASS_NAMES))  # some are in most photos
    is_crowd = rng.random(annotations) < 0.01
    with path.open("w") as file:
        file.write(f'{{"images": {json.dumps(images)}, "categories": {json.dumps(categories)}, ')
        file.write('"annotations": [')
        for n in range(annotations):
            outline = crowds[n % len(crowds)] if is_crowd[n] else outlines[n % len(outlines)]
            file.write(
                f'{", " if n else ""}{{"segmentation": {outline}, "area": 100.5, '
                f'"iscrowd": {int(is_crowd[n])}, "image_id": {of_image[n]}, '
                f'"bbox": [1.5, 2.5, 30.25, 20.0], "category_id": {of_category[n]}, "id": {n}}}'
            )
        file.write("]}")


def write_photos(path, photos, rng):
    encoded = []
    for _ in range(64):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(file, "JPEG", quality=50)
        encoded.append(file.getvalue())
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(photos):
            archive.writestr(f"{n:012}.jpg", encoded[n % len(encoded)])


def processes_of(parent):
    """Returns the ids of a process and of all that it started, the latter at any depth."""
    children = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [parent]
    for process in found:
        found += children.get(process, [])
    return found


def resident(process):
    """Returns a process's memory in MB."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def build(folder, tfds_dir, workers, kill_at=None):
    """Runs the command, and returns seconds, the peak of all together, of the parent, and the processes."""
    command = [sys.executable, "-m", "datasets.prepare", "--dataset=coco20i", f"--name={NAME}"]
    command += [f"--manual_dir={folder}", f"--tfds_dir={tfds_dir}"]
    command += [] if workers is None else [f"--workers={workers}"]
    began, together, alone, seen = time.monotonic(), 0.0, 0.0, {0}
    process = subprocess.Popen(command)
    while process.poll() is None:
        memory = {id: resident(id) for id in processes_of(process.pid)}
        together, alone = max(together, sum(memory.values())), max(alone, memory[process.pid])
        seen |= memory.keys()
        if kill_at is not None and list(tfds_dir.rglob(kill_at)):
            process.kill()
        time.sleep(SECONDS_BETWEEN_SAMPLES)
    if process.returncode not in ((0,) if kill_at is None else (0, -9)):
        sys.exit(f"the build ended with {process.returncode}")
    return time.monotonic() - began, together, alone, seen - {0, process.pid}


def report(what, seconds, together, alone, workers):
    print(
        f"{what}: {seconds:.0f} s, at most {together:,.0f} MB together, {alone:,.0f} MB in the parent, "
        f"{len(workers)} processes started",
        flush=True,
    )


def check_nothing_is_left(tfds_dir, workers):
    """Makes sure that a killed build left nothing that loads, and no process."""
    assert not is_prepared(place_of(tfds_dir, NAME)), "half a data set would load"
    end = time.monotonic() + 30
    while any(resident(process) for process in workers):
        assert time.monotonic() < end, "workers went on without their parent"
        time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.prepare", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--annotations", type=int, default=36_500)
    parser.add_argument("--photos", type=int, default=5_000)
    parser.add_argument("--out", type=Path, required=True, help="a folder for files, photos and records")
    parser.add_argument("--workers", type=int, help="by default as many as there are cores")
    parser.add_argument("--kill", action="store_true", help="kill the build on the way, once")
    flags = parser.parse_args()
    folder, tfds_dir = flags.out / "coco", flags.out / "built"
    if is_prepared(place_of(tfds_dir, NAME)):
        sys.exit(f"{tfds_dir} holds the data set already: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    rng, file = np.random.default_rng(0), folder / "instances_synthetic.json"
    write_annotations(file, flags.photos, flags.annotations, rng)
    write_photos(folder / "images.zip", flags.photos, rng)
    print(f"{flags.annotations:,} annotations, {file.stat().st_size / 1e6:,.0f} MB of JSON", flush=True)
    if flags.kill:
        shards = -(-flags.photos // PER_SHARD)
        *measured, workers = build(folder, tfds_dir, flags.workers, f"*-{shards // 2:05}")
        report("killed", *measured, workers)
        check_nothing_is_left(tfds_dir, workers)
    report("whole build", *build(folder, tfds_dir, flags.workers))
    place = place_of(tfds_dir, NAME)
    size = sum(path.stat().st_size for path in place.iterdir())
    print(f"{len(about_of(place)['ids']):,} photos of {flags.photos:,} show something: {size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
