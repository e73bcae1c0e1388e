"""What the class index of a prepared data set costs: reading all records once, and reading it back.

    python -m benchmarks.index --dataset=NAME --tfds_dir=data --list=train

Prints a table. Memory is what the process takes at its peak above what it took before (Linux).
"""

import argparse
import time
from pathlib import Path

import numpy as np

from datasets.prepared import PreparedList, about_of, place_of
from fsjax.data.index import build_index


def taken(what: str) -> float:
    """Returns the memory of this process in MB, "VmRSS" now or "VmHWM" at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True, help="name of a prepared data set")
    parser.add_argument("--tfds_dir", default="data", help="folder of built data sets")
    parser.add_argument("--list", default="train", help="the list of photos")
    options = parser.parse_args()

    place = place_of(Path(options.tfds_dir).absolute(), options.dataset)
    started = time.perf_counter()
    source = PreparedList(place, about_of(place), options.list, ())
    opened = time.perf_counter() - started
    for path in place.glob(f"class_index_{options.list}.npz"):
        path.unlink()
    print(f"opened in {opened:.1f} s: {len(source.ids):,} photos, {len(source.class_names)} classes")
    for what in ("built and kept", "read back"):
        before, started = taken("VmRSS"), time.perf_counter()
        index = build_index(source)
        seconds = time.perf_counter() - started
        print(f"{what} in {seconds:.1f} s, {taken('VmHWM') - before:.0f} MB at the peak")
    arrays = (index.areas, index.flags, index.sizes)
    pairs = np.count_nonzero(index.areas)
    print(f"{pairs:,} pairs of image and class, {sum(a.nbytes for a in arrays) / 1e6:.0f} MB of arrays")


if __name__ == "__main__":
    main()
