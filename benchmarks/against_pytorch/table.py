"""The tables of what was timed, as Markdown, and all of it as JSON."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.against_pytorch.turns import Result, Timed
from benchmarks.against_pytorch.values import TOLERANCES
from benchmarks.against_pytorch.worker import OURS

GIB = 2**30


def best(result: Result) -> str | None:
    """Returns the variant of PyTorch whose median is the smallest; None where none was run."""
    theirs = [variant for variant in result.timed if variant != OURS]
    return min(theirs, key=lambda one: statistics.median(result.timed[one].seconds), default=None)


def ratio(result: Result) -> float | None:
    """Returns fsjax's median over that of PyTorch's best variant; below 1 fsjax is the faster."""
    other = best(result)
    if other is None:
        return None
    ours, theirs = (statistics.median(result.timed[one].seconds) for one in (OURS, other))
    return ours / theirs


def heading(about: dict[str, Any]) -> list[str]:
    """Returns what both libraries are, and where they ran."""
    lines = [
        f"fsjax {about['fsjax']}, JAX {about['jax']}: {about['device']} ({about['platform']}), "
        f"{about['cores']} cores."
    ]
    if "pytorch" in about:
        lines.append(
            f"PyTorch {about['pytorch']}: {about['pytorch_device']}, {about['pytorch_threads']} threads."
        )
    return [*lines, ""]


def ratios(results: Sequence[Result], peak_tflops: float | None) -> list[str]:
    """Returns a line for each case: both medians, the ratio, memory and rates.

    Args:
      results: of the cases.
      peak_tflops: of the device, for the share of it that is reached; None for none.
    """
    share = "" if peak_tflops is None else " MFU |"
    lines = [
        "| case | what | dtype | fsjax, s | PyTorch, s | its variant | ratio | peak, GiB | PyTorch's | GFLOP "
        f"| GFLOP/s | PyTorch's |{share}",
        f"|---|---|---|---:|---:|---|---:|---:|---:|---:|---:|---:|{'---:|' * bool(share)}",
    ]
    for one in results:
        other, ours = best(one), one.timed[OURS]
        theirs = one.timed[other] if other else None
        found = ratio(one)
        cells = [
            one.case, one.what, one.dtype, _seconds(ours), _seconds(theirs), other or "-",
            "-" if found is None else f"{found:.2f}", _memory(ours), _memory(theirs),
            f"{one.operations / 1e9:.1f}", _rate(one, ours), _rate(one, theirs),
        ]  # fmt: skip
        if peak_tflops is not None:
            cells.append(f"{one.operations / statistics.median(ours.seconds) / peak_tflops / 1e12:.1%}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def processes(results: Sequence[Result]) -> list[str]:
    """Returns a line for each process: how long it took and how far its values are from fsjax's."""
    lines = [
        "| case | dtype | process | median, s | least | most | first call, s | peak, GiB | differs by |",
        "|---|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for one in results:
        for variant, took in one.timed.items():
            apart = ", ".join(f"{kind} {distance:.0e}" for kind, distance in took.distances.items())
            lines.append(
                f"| {one.case} | {one.dtype} | {variant} | {_seconds(took)} | {min(took.seconds):.4g} | "
                f"{max(took.seconds):.4g} | {took.first:.1f} | {_memory(took)} | {apart or '-'} |"
            )
    return lines


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """Returns all that was found, and the tolerances that values were held to."""
    found = [{**asdict(one), "best": best(one), "ratio": ratio(one)} for one in results]
    return {"tolerances": TOLERANCES, "results": found}


def _seconds(timed: Timed | None) -> str:
    return f"{statistics.median(timed.seconds):.4g}" if timed else "not run"


def _memory(timed: Timed | None) -> str:
    """Returns the peak of the host's memory, and of the device's where it has one of its own."""
    if timed is None:
        return "-"
    return " + ".join(f"{size / GIB:.2f}" for size in timed.peak.values())


def _rate(result: Result, timed: Timed | None) -> str:
    return f"{result.operations / statistics.median(timed.seconds) / 1e9:.1f}" if timed else "-"
