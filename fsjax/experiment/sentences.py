"""What dry runs say, and in which words."""

import textwrap
from collections.abc import Iterable

import jax

from fsjax.data.sampling import EpisodeSampler
from fsjax.experiment.costs import Costs

WIDTH = 100
_NAMED = 120
TIED = "\0"  # a space at which no line is broken


def in_lines(paragraphs: Iterable[str]) -> list[str]:
    """Returns paragraphs as lines of at most 100 characters, with an empty line between two."""
    return [
        line.replace(TIED, " ")
        for text in paragraphs
        for line in (*textwrap.wrap(text, WIDTH, break_on_hyphens=False), "")
    ][:-1]


def number_of(count: int, one: str, many: str = "") -> str:
    """Returns "1 class" or "1,200 classes"; without a plural it is the word with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def in_bytes(count: int | float) -> str:
    """Returns a number of bytes as "12.3 MB"; a thousand MB are a GB.

    >>> in_bytes(340_422_664), in_bytes(3_000_883_264), in_bytes(6_720)
    ('340.4 MB', '3.0 GB', '6.7 kB')
    """
    return _scaled(count, "B", ("k", "M", "G", "T"), 1)


def in_flops(count: int | float) -> str:
    """Returns a number of floating-point operations as "1.42 TFLOP".

    >>> in_flops(1_418_226_040_832), in_flops(950)
    ('1.42 TFLOP', '0.95 kFLOP')
    """
    return _scaled(count, "FLOP", ("k", "M", "G", "T", "P", "E"), 2)


def _scaled(count: int | float, unit: str, prefixes: tuple[str, ...], digits: int) -> str:
    power = 1
    while count >= 999.95 * 1000**power and power < len(prefixes):
        power += 1
    return f"{count / 1000**power:,.{digits}f} {prefixes[power - 1]}{unit}"


def classes(what: str, sampler: EpisodeSampler) -> str:
    """Returns the classes of a sampler with their eligible photos, the most frequent first."""
    counts = {sampler.class_names[c - 1]: len(sampler.eligible(c)) for c in sampler.classes}
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    named = [f"{name} {count:,}".replace(" ", TIED) for name, count in ranked]
    if len(named) > _NAMED:
        half = _NAMED // 2
        named = [*named[:half], f"({len(named) - 2 * half:,} others)".replace(" ", TIED), *named[-half:]]
    return f"{what}, {number_of(len(counts), 'class', 'classes')}: {', '.join(named)}."


def devices() -> str:
    """Returns what this job runs on, as "8 devices (cpu) in 1 process"."""
    processes = number_of(jax.process_count(), "process", "processes")
    return f"{number_of(jax.device_count(), 'device')} ({platform()}) in {processes}"


def platform() -> str:
    """Returns the kind of device at hand, as "cpu" or "gpu, NVIDIA H100"."""
    device = jax.local_devices()[0]
    kind = device.device_kind
    return device.platform if kind.lower() == device.platform else f"{device.platform}, {kind}"


def cost_of(what: str, found: Costs, handed_in: str, between: str) -> str:
    """Returns what a call costs each device.

    Args:
      what: is called.
      found: its costs.
      handed_in: what its arguments are.
      between: what its temporaries are.
    """
    return (
        f"Compiled for {platform()}, {what} takes {in_flops(found.flops)} and {in_bytes(found.memory)} of "
        f"memory on each device: {in_bytes(found.arguments)} for {handed_in}, "
        f"{in_bytes(found.temporaries)} for {between}, {in_bytes(found.outputs)} for results."
    )


ELSEWHERE = (
    "Operations are those of plain convolutions, on any device; another platform's compiler plans memory "
    "otherwise."
)
"""What to make of costs."""
