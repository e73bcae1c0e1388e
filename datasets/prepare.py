"""Turns what you downloaded, or your own folder, into a data set that trains.

    python -m datasets.prepare --dataset=pascal5i --manual_dir=DOWNLOADS
    python -m datasets.prepare --dataset=coco20i --manual_dir=COCO --year=2014
    python -m datasets.prepare --dataset=coco20i --manual_dir=COCO --year=2014 --download
    python -m datasets.prepare --dataset=folders --manual_dir=MY_PHOTOS --name=mydata

Nothing is unpacked to the disk, and nothing is fetched without --download. A build that was killed starts
again with the same command. From another folder than the clone's, start it as
python CLONE/datasets/prepare.py.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__" and not __package__:  # by its path: the clone takes the place of this folder
    sys.path[: not sys.flags.safe_path] = [str(Path(__file__).resolve().parents[1])]

from datasets import coco20i, folders, pascal5i, shapes
from datasets.building import build
from datasets.downloads import fetch
from datasets.plans import Count, Plan
from datasets.prepared import about_of, place_of
from fsjax.config import Field
from fsjax.errors import InputError

SHARED = {"dataset", "manual_dir", "name", "tfds_dir", "workers"}
FLAGS = {
    "dataset": "The kind: pascal5i, coco20i or folders.",
    "manual_dir": "The folder with the archives, or with your photos.",
    "name": "What the data set is called from now on; by default its kind.",
    "tfds_dir": "The folder for built data sets; by default data.",
    "lists": "pascal5i: a folder DIR with lists of photos, which are taken as they are: the list oslsm is "
    "DIR/oslsm.txt, or DIR/oslsm/fold0.txt, DIR/oslsm/fold1.txt and so on.",
    "year": "coco20i: 2014 or 2017, where the folder has both, or neither yet.",
    "crowd": "Of COCO's annotations: skip (default), include or void: what those of crowds are.",
    "holdout": "The share of photos that are the list test. coco20i: of one annotation file, by default 0.3; "
    "folders: by default every photo is in one list.",
    "workers": "Processes that read photos; by default as many as there are cores, 0 for none.",
}
SWITCHES = {
    "download": "pascal5i and coco20i: first fetches the archives that the folder lacks into it.",
}


OPTIONS = {
    "year": Field(2014, "2014 or 2017", low=2014, high=2017),
    "crowd": Field("skip", "crowds", choices=("skip", "include", "void")),
    "holdout": Field(0.3, "share", low=0.0, high=1.0),
    "workers": Field(1, "processes", low=0, high=256),
}
"""What the flags that are no plain texts may be."""

KINDS: dict[str, tuple[Callable[..., Plan], tuple[str, ...]]] = {
    "pascal5i": (pascal5i.plan, ("lists",)),
    "coco20i": (coco20i.plan, ("year", "crowd", "holdout")),
    "folders": (folders.plan, ("crowd", "holdout")),
}
"""Of each kind its plan, and the flags that are its own."""

LACKING: dict[str, Callable[..., list[str]]] = {"pascal5i": pascal5i.lacking, "coco20i": coco20i.lacking}
"""Of each kind that can be fetched, which archives a folder lacks."""


def program(argv: list[str]) -> None:
    """Prepares a data set, and prints what was counted."""
    from fsjax import cli  # only now: processes that read photos import this module, and need no JAX

    flags, _ = cli.parse(argv, __doc__ or "", FLAGS, SWITCHES, fields=False)
    if flags.dataset not in KINDS:
        raise InputError(f"--dataset is {flags.dataset!r}: give {' or '.join(KINDS)}.")
    if not flags.manual_dir:
        raise InputError("Name the folder with the archives, or with your photos, with --manual_dir.")
    folder = Path(flags.manual_dir).expanduser()
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}: see --manual_dir.")
    given = {name: flags[name].value for name in FLAGS if flags[name].value}
    options = {name: _value(name, given[name]) for name in given.keys() - SHARED}
    make, own = KINDS[flags.dataset]
    for name in options.keys() - set(own):
        raise InputError(f"--{name} is not for --dataset={flags.dataset}: leave it out.")
    workers = _value("workers", flags.workers) if flags.workers else None
    name, tfds_dir = flags.name or flags.dataset, Path(flags.tfds_dir or "data").expanduser().absolute()
    place_of(tfds_dir, name)  # refuses names that are none, before anything is read
    if name == shapes.NAME:
        raise InputError(f"The name {name} is that of the embedded benchmark: give another one with --name.")
    if flags.download:
        _download(flags.dataset, folder, options)
    plan = make(folder, **options)
    print("\n".join(told(plan)), flush=True)  # before the hours that photos may take
    place = build(plan, name, tfds_dir, workers=workers)
    for count in about_of(place)["counts"][len(plan.counts) :]:  # of the lists that follow from the masks
        print(told_of(Count(*count)))
    print(f"The data set {name} is in {place.parent}: train on it with --config.data.name={name}.")


def _download(kind: str, folder: Path, options: dict[str, Any]) -> None:
    if kind not in LACKING:
        raise InputError(f"--download is not for --dataset={kind}: leave it out.")
    names = LACKING[kind](folder, **options)
    print(f"Fetching {' and '.join(names)}." if names else "Nothing is lacking.", flush=True)
    fetch(names, folder)


def told(plan: Plan) -> list[str]:
    """Returns the lines of a table of what was counted, beside what is known."""
    return [plan.title, *map(told_of, plan.counts)]


def told_of(count: Count) -> str:
    """Returns the line of one count."""
    line = f"  {count.what}: {count.found:,}"
    if count.known is None:
        return line
    return line + (", as known" if count.found == count.known else f", known are {count.known:,}: DIFFERENT")


def _value(name: str, text: str) -> Any:
    return OPTIONS[name].read(f"--{name}", text) if name in OPTIONS else text


def main(argv: list[str] | None = None) -> int:
    """Runs the program and returns its exit code."""
    from fsjax import cli

    return cli.run(program, argv)


if __name__ == "__main__":
    sys.exit(main())
