"""What is made for a case of bad input: functions that are given a sound world, and a folder to write to."""

import hashlib
import json
import os
import shutil

import numpy as np

from tests.commands.own_photos import show
from tests.commands.programs import PHOTOS, prepare


def content(name, made):
    """Writes a file of these bytes."""
    return lambda world, place: (place / name).write_bytes(made)


def pipe(name):
    """Makes a pipe, which would be waited for."""
    return lambda world, place: os.mkfifo(place / name)


def photos(*left_out):
    """Prepares the data set without some photos."""
    return lambda world, place: prepared(world, place, [name for name in PHOTOS if name not in left_out])


def prepared(world, place, names):
    shutil.copytree(world / "voc", place / "voc")
    prepare(place, names)


def description(world, place):
    """Copies the data set, whose description is another."""
    shutil.copytree(world / "built", place / "built")
    (path,) = place.rglob("metadata.json")
    path.write_text(path.read_text().replace("all", "none"))


def shown(change):
    """Makes supports, and changes something in their folder `images` or `masks`."""

    def make(world, place):
        change(show(place / "shown") / "cup")

    return make


def replaced(name, made):
    return shown(lambda folder: (folder / name).write_bytes(made(folder)))


def piped(name):
    return shown(lambda folder: ((folder / name).unlink(), os.mkfifo(folder / name)))


def episodes(change, line=0):
    """Writes the episodes with one line changed."""

    def make(world, place):
        lines = [json.loads(text) for text in (world / "episodes.jsonl").read_text().splitlines()]
        change(lines[line])
        if line:  # whoever writes it signs it
            signed = "".join(json.dumps(one) + "\n" for one in lines[1:])
            del lines[0]["header_sha256"]
            lines[0]["sha256"] = hashlib.sha256(signed.encode()).hexdigest()
        (place / "e.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))

    return make


def altered(name, change):
    """Writes weights of which one array is changed."""

    def make(world, place):
        with np.load(world / "good" / "weights.npz") as arrays:
            np.savez(place / "w.npz", **{**arrays, name: change(arrays[name])})

    return make


def cut(world, place):
    whole = (world / "good" / "weights.npz").read_bytes()
    (place / "w.npz").write_bytes(whole[: len(whole) // 2])


def run(harm):
    """Copies the run and harms its checkpoint."""

    def make(world, place):
        shutil.copytree(world / "untrained", place / "run")
        harm(place / "run" / "checkpoints" / "6")

    return make


def results(harm):
    """Copies results and harms them."""

    def make(world, place):
        harm(shutil.copytree(world / "results", place / "results"))

    return make
