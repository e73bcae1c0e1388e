"""Damaged files of fsjax's own and of its users, and random settings: refused, made anew, or no matter.

    python -m benchmarks.fuzz_files --inputs=300

Of each kind (`benchmarks.damaged_data`) so many files are cut short, have bits flipped, values changed or
bytes lost, are swapped for another kind's, or are a pipe, a folder, a device; settings are random fields with
random values, as a command line gives them. Each input has ten seconds, in a process that may crash. Linux
only.

    refused     by a sentence that names the file, or the field
    made anew   as before, and the damaged file is whole again
    earlier     the checkpoint before is read, and a sentence says so
    the same    as before: what was changed decides nothing
    other       a file without a digest of its own, and as sound a one as before; settings: they are allowed
    wrong       a traceback, a hang, a poor sentence, or another result of what has a digest
"""

import argparse
import collections
import logging
import os
import random
import shutil
from functools import partial
from pathlib import Path

from benchmarks.damaged_data import KINDS
from benchmarks.damaged_files import PICTURES, damaged, mutated
from benchmarks.fuzzing import outcome, received
from fsjax import cli
from fsjax import config as configuration
from fsjax.config import TABLE
from fsjax.experiment import check_settings

SOUND = ("sentence", "made anew", "earlier", "the same", "other")
HEADINGS = ("refused", "made anew", "earlier", "the same", "other")
SETTINGS = "settings"


def harmed(path, seed, others):
    """Damages a file: always the same way for the same seed.

    Args:
        path: of the file.
        seed: of the damage.
        others: files of other kinds.
    """
    rng, sound = random.Random(seed), path.read_bytes()
    kind = rng.choice(["damaged"] * 12 + ["values"] * 4 + ["lines"] * 2 + ["swapped"] * 2 + ["special"])
    if kind == "values":
        sound = with_other_values(sound, rng) or damaged(sound, seed)
    elif kind == "lines":
        sound = with_other_lines(sound, rng)
    elif kind == "swapped":
        sound = rng.choice(
            [b"", bytes(len(sound)), "\ufeff{}\n".encode("utf-16"), "é\n".encode("latin-1"), *others]
        )
    else:
        sound = damaged(sound, seed)
    path.unlink()
    if kind == "special":
        special = rng.choice(
            [os.mkfifo, Path.mkdir, lambda place: place.symlink_to("/dev/zero"), Path.exists]
        )
        special(path)
    else:
        path.write_bytes(sound)


def with_other_values(sound, rng):
    """Returns JSON, or one of its lines, with odd values; None where it is none."""
    lines = [sound] if sound[:1] in b"{[" and b"\n{" not in sound else sound.splitlines()
    number = rng.randrange(len(lines) or 1)
    try:
        lines[number] = mutated(lines[number], rng.random())
    except (ValueError, IndexError, TypeError):
        return None
    return b"\n".join(lines) + b"\n" * sound.endswith(b"\n")


def with_other_lines(sound, rng):
    """Returns lines without one, one twice, two exchanged, or all of them as one."""
    lines = sound.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.choice(["lost", "twice", "exchanged", "joined"])
    if kind == "lost":
        del lines[first]
    elif kind == "twice":
        lines.insert(second, lines[first])
    elif kind == "exchanged":
        lines[first], lines[second] = lines[second], lines[first]
    return (b" " if kind == "joined" else b"\n").join(lines)


def outcomes(name, seeds, folder):
    """Yields the outcomes of a kind's damaged files, one after the other.

    Args:
        name: of the kind.
        seeds: of the damages.
        folder: an empty one, for the files.
    """
    logging.disable(logging.CRITICAL)
    place, copy = Path(folder) / "files", Path(folder) / "copy"
    place.mkdir()
    kind = KINDS[name](place)
    sound = kind.read()
    shutil.copytree(place, copy)
    others = [PICTURES["PNG, grey"](), b"{}", b"[]\n", *(path.read_bytes() for path in kind.files[:5])]
    for seed in seeds:
        path = kind.files[seed % len(kind.files)]
        harmed(path, seed, others)
        harm = state_of(path)
        said = outcome(partial(reading, kind, sound), [str(path), path.name, *kind.names])
        if said == "the same" and state_of(path) != harm:
            said = "made anew"
        yield {"file": said}
        shutil.rmtree(place)
        shutil.copytree(copy, place)


def reading(kind, sound):
    """Returns in a word what a kind's file is read as."""
    found = kind.read()
    if found == sound:
        return "the same"
    if found == kind.earlier:
        return "earlier"
    return "another result" if kind.sealed else "other"


def state_of(path):
    """Returns what is in a path's place, without waiting for a pipe."""
    return path.read_bytes() if path.is_file() else path.exists() and path.lstat().st_mode


VALUES = (
    "", " ", "0", "-1", "1", "2", "3", "1e3", "0.5", "-0.0", "nan", "inf", "-inf", "1e999", "1e-400",
    "9" * 30, "True", "False", "None", "true", "x", "é", "a,b", "1,2", ",", "()", "(1,", "(1,2)", "((1,),)",
    "[]", "{}", "'a'", '"', "\\", "\n", "../x", "/", "~", "None,None", "0x10", "1_000", "1,", "a=b", "%s",
    "{0}", "x" * 5000, "__import__('os').getcwd()", "9**9**9", "(" * 500, "-" * 3000 + "1",
)  # fmt: skip
"""What users write behind an equals sign, and what they should not."""


def settings(seeds, folder):
    """Yields the outcomes of random fields with random values."""
    logging.disable(logging.CRITICAL)
    for seed in seeds:
        rng = random.Random(seed)
        names = rng.sample([*TABLE], rng.choice([1, 1, 1, 2, 3]))
        arguments = [f"--config.{name}={value_for(TABLE[name], rng)}" for name in names]
        if rng.random() < 0.1:
            arguments[0] = (
                rng.choice(["--config.x", "--config.", "--config.train", "--config.eval.rows.x"]) + "=1"
            )
        told = [
            *names,
            *(name.rpartition(".")[2] for name in names),
            "configuration has no field",
            "is a section",
        ]
        yield {"file": outcome(partial(allowed, arguments), told)}


def value_for(field, rng):
    """Returns a text: any, one of the field's choices, or its default with a character changed."""
    if rng.random() < 0.5:
        return rng.choice(VALUES)
    if field.choices and rng.random() < 0.7:
        return str(rng.choice(field.choices))
    text = str(field.default)
    place = rng.randrange(len(text) + 1)
    return text[:place] + rng.choice(["", "0", "-", "e", ",", "("]) + text[place + rng.randrange(2) :]


def allowed(arguments):
    """Makes sure that settings which are allowed are allowed again when they are read back."""
    config = cli.set_fields(configuration.default(), arguments)
    check_settings(config)
    again, _ = configuration.upgrade(configuration.store(config, {}))
    configuration.check(again)
    return "other" if again.to_dict() == config.to_dict() else "another result"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=300, help="damaged files of each kind, and settings")
    parser.add_argument("--only", default="", help="kinds whose names hold this")
    flags = parser.parse_args()
    total, wrong = 0, []
    print(f"{'kind':24}{'inputs':>7}" + "".join(f"{heading:>11}" for heading in HEADINGS) + "  wrong")
    for name in (*KINDS, SETTINGS):
        if flags.only not in name:
            continue
        work = settings if name == SETTINGS else partial(outcomes, name)
        results = received(work, flags.inputs, room=None)
        counts = collections.Counter(found["file"] for _, found in results)
        bad = [(name, found["file"], seed) for seed, found in results if found["file"] not in SOUND]
        cells = "".join(f"{counts[how]:>11,}" for how in SOUND)
        print(f"{name:24}{len(results):>7,}{cells}{len(bad):>7,}", flush=True)
        total, wrong = total + len(results), wrong + bad
    print(f"{total:,} inputs, {len(wrong):,} wrong")
    for what, times in collections.Counter((name, how) for name, how, _ in wrong).most_common(100):
        seeds = [seed for *entry, seed in wrong if (*entry,) == what][:5]
        print(*what, f"{times} times, seeds {seeds}", sep=" | ")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
