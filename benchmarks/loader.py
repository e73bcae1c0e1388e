"""Episodes a second of the loader, by threads and worker processes, and where one thread's time goes.

    python -m benchmarks.loader --dataset=coco_small --tfds_dir=data --size=417 --workers=0,1,2 --threads=1,2

Prints two tables. Episodes are one-way, one-shot, with one query, mirrored at random. `shapes` is drawn
where there is no data set; any other has to be prepared before. CPU milliseconds, which are Linux's to
tell, are what to compare on a machine that has other work, too.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

import datasets
from benchmarks.cycle import numbers
from fsjax import config as configuration
from fsjax.data.images import InputSettings, load_episode
from fsjax.data.index import build_index
from fsjax.data.loader import Slots, batches
from fsjax.data.resizing import lost_labels, resize_mask
from fsjax.data.sampling import EpisodeSampler
from fsjax.data.source import Reducing, Source

STEP = 5
"""Milliseconds of the step that asks for a number of cores."""

SEED = 0
WARM = 10  # episodes that are loaded before the clock runs


def opened(name: str, tfds_dir: str) -> Source:
    """Returns the training list of a data set."""
    config = configuration.default()
    config.data.name, config.data.tfds_dir = name, tfds_dir
    return datasets.load(config.data)["train"]


def sampler_of(source: Source) -> EpisodeSampler:
    """Returns a sampler of all classes that two photos show."""
    index = build_index(source)
    classes = np.flatnonzero(index.counts(1).sum(axis=0) >= 2) + 1
    return EpisodeSampler(index, source.class_names, classes.tolist(), ways=1, shots=1, queries=1, seed=SEED)


def shares(source: Source, sampler: EpisodeSampler, settings: InputSettings, count: int) -> dict[str, float]:
    """Returns the CPU milliseconds of each stage of an episode in this thread, each run by itself."""
    spent: dict[str, float] = defaultdict(float)

    def timed(stage: str, call: Callable[..., Any], *arguments: Any) -> Any:
        began = time.thread_time()
        result = call(*arguments)
        spent[stage] += 1000 * (time.thread_time() - began) / count
        return result

    S = settings.size
    for i in range(count):
        spec = timed("draw the episode", sampler, i)
        for position in (spec.support[0][0], spec.query[0]):
            height, width = timed("read the record", source.size, position)
            if isinstance(source, Reducing):
                picture = timed("decode the photo", source.picture, position, (2 * S, 2 * S))
            else:
                picture = Image.fromarray(timed("decode the photo", source.image, position))
            timed("resize the photo", picture.resize, (S, S), Image.Resampling.BILINEAR)
            mask = timed("decode the mask", source.mask, position, spec.class_ids, 1)
            small = timed("resize the mask", resize_mask, mask, S, S)
            if max(height, width) > S:  # a part of resizing it
                timed("(of that: count labels)", lost_labels, mask, small)
        timed("whole episode", load_episode, source, spec, settings, SEED)
    inner = [ms for stage, ms in spent.items() if stage[0] != "(" and stage != "whole episode"]
    # The whole is loaded from records that were read just now, and from a spec.
    whole = spent.pop("whole episode") + spent["draw the episode"] + spent["read the record"]
    return {**spent, "mirror, copy and the rest": whole - sum(inner), "whole episode": whole}


def rate(
    source: Source, sampler: EpisodeSampler, settings: InputSettings, count: int, threads: int, workers: int
) -> tuple[float, float, float]:
    """Returns episodes a second, and CPU milliseconds an episode of this process and of its workers."""
    read = batches(
        source, sampler, settings, Slots(1, 1, 1),
        seed=SEED, stop=count + WARM, threads=threads, workers=workers,
    )  # fmt: skip
    for _ in range(WARM):
        next(read)
    began, own, theirs = time.perf_counter(), time.process_time(), _of_workers()
    for _ in range(count):
        next(read)
    seconds = time.perf_counter() - began
    own, theirs = time.process_time() - own, _of_workers() - theirs
    read.close()
    return count / seconds, 1000 * own / count, 1000 * theirs / count


def _of_workers() -> float:
    """Returns the CPU seconds of all worker processes until now; nan where the system does not tell."""
    files = [Path(f"/proc/{child.pid}/stat") for child in multiprocessing.active_children()]
    if not all(file.exists() for file in files):
        return float("nan")
    fields = [file.read_text().rpartition(")")[2].split() for file in files]
    return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="shapes", help="name of a prepared data set")
    parser.add_argument("--tfds_dir", default="data", help="folder of prepared data sets")
    parser.add_argument("--size", type=int, default=417, help="side of the photos in pixels")
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="in each process that loads")
    parser.add_argument("--workers", type=numbers, default=[0, 1, 2], help="processes; 0: this one")
    parser.add_argument("--episodes", type=int, default=200, help="that are loaded for a number")
    parser.add_argument("--repeats", type=int, default=3, help="of every number: all in turn, so often")
    options = parser.parse_args()

    source, settings = opened(options.dataset, options.tfds_dir), InputSettings(options.size, flip=True)
    sampler, count = sampler_of(source), options.episodes
    print(f"{source.title}, {options.size}x{options.size}, one-way one-shot, {os.cpu_count()} cores")
    rounds = [shares(source, sampler, settings, count) for _ in range(options.repeats)]
    best = min(rounds, key=lambda stages: stages["whole episode"])
    print(f"\n{'one thread, the best round':30}  {'CPU ms':>8}  {'share':>6}")
    for stage, ms in best.items():
        print(f"{stage:30}  {ms:8.2f}  {ms / best['whole episode']:6.0%}")
    print(f"cores that a step of {STEP} ms would need: {best['whole episode'] / STEP:.1f}")

    print(f"\n{'':20}  {'episodes a second':^17}  {'CPU ms an episode':^20}")
    print(f"{'threads':>9}  {'workers':>9}  {'best':>8} {'median':>8}  {'this process':>12} {'workers':>7}")
    kinds = [(threads, workers) for workers in options.workers for threads in options.threads]
    found: dict[tuple[int, int], list[tuple[float, float, float]]] = defaultdict(list)
    for _ in range(options.repeats):
        for kind in kinds:
            found[kind].append(rate(source, sampler, settings, count, *kind))
    for (threads, workers), rows in found.items():
        rates, own, theirs = zip(*rows, strict=True)
        row = f"{threads:9}  {workers:9}  {max(rates):8.1f} {median(rates):8.1f}  {min(own):12.2f}"
        print(f"{row} {min(theirs):7.2f}")


if __name__ == "__main__":
    sys.exit(main())
