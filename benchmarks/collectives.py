"""What a compiled program sends between devices, read from its text."""

import re
from collections.abc import Iterator
from typing import NamedTuple

BYTES = {"pred": 1, "s8": 1, "u8": 1, "f16": 2, "bf16": 2, "s16": 2, "u16": 2, "f32": 4, "s32": 4, "u32": 4,
         "f64": 8, "s64": 8, "u64": 8}  # fmt: skip
"""Of one value, by XLA's names of types."""

KINDS = ("all-reduce", "all-gather", "all-to-all", "reduce-scatter", "collective-permute")

_SENT = re.compile(rf"= ((?:\(.*?\)|\S+)) ({'|'.join(KINDS)})(?:-start)?\(")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")


class Collective(NamedTuple):
    """One operation over all devices."""

    kind: str
    arrays: int
    bytes: int  # of its results on each device


def collectives(text: str) -> list[Collective]:
    """Returns the operations over all devices in a program, as `Compiled.as_text` has it.

    >>> collectives("%a = (f32[], bf16[3,4]{1,0}) all-reduce(%b, %c), channel_id=1")
    [Collective(kind='all-reduce', arrays=2, bytes=28)]
    """
    return [_collective(*found.groups()) for line in text.splitlines() if (found := _SENT.search(line))]


def _collective(types: str, kind: str) -> Collective:
    sizes = list(_sizes(types))
    return Collective(kind, len(sizes), sum(sizes))


def _sizes(types: str) -> Iterator[int]:
    for name, shape in _ARRAY.findall(types):
        size = BYTES[name]
        for side in filter(None, shape.split(",")):
            size *= int(side)
        yield size
