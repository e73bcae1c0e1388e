"""Whether both libraries computed the same, before anything is timed."""

from collections.abc import Mapping

import numpy as np

from fsjax.errors import InputError

TOLERANCES = {
    "float32": {
        "loss": 1e-4, "gradient_norm": 1e-3, "change": 2e-2, "features": 1e-4, "confusion": 2e-3,
        "similarity": 1e-5, "forward": 5e-2, "backward": 5e-2, "candidates": 5e-2,
    },
    "tensorfloat32": {
        "loss": 5e-3, "gradient_norm": 2e-2, "change": 0.1, "features": 1e-2, "confusion": 2e-2,
        "similarity": 1e-5, "forward": 5e-2, "backward": 5e-2, "candidates": 5e-2,
    },
    "bfloat16": {
        "loss": 2e-2, "gradient_norm": 0.1, "change": 0.3, "features": 5e-2, "confusion": 5e-2,
        "similarity": 1e-5, "forward": 5e-2, "backward": 5e-2, "candidates": 5e-2,
    },
}  # fmt: skip
"""The largest distance of what a name begins with, by what convolutions compute in.

Tensorfloat32 is what accelerators take for float32 unless they are told otherwise.

A distance is the norm of the difference over the norm of fsjax's values. Of indices and cells some may
differ, where two cosines are equal but for their rounding.
"""


def precision(dtype: str, platform: str) -> str:
    """Returns the name of the tolerances for convolutions of a dtype on a platform of JAX."""
    return "tensorfloat32" if dtype == "float32" and platform != "cpu" else dtype


def distances(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns the distance of both libraries' values by kind: the part of a name before its first /.

    Of changes of parameters it is that of all of them together, and of each one at most ten times as much
    counts, which no layer that is left out can hide behind.

    Raises:
      InputError: they differ in names or shapes.
    """
    if {name: x.shape for name, x in ours.items()} != {name: x.shape for name, x in theirs.items()}:
        odd = sorted(set(ours) ^ set(theirs)) or sorted(n for n in ours if ours[n].shape != theirs[n].shape)
        raise InputError(f"Both libraries' values differ in what they are of: {odd[0]}; nothing is timed.")
    found: dict[str, float] = {}
    for kind in dict.fromkeys(name.partition("/")[0] for name in ours):
        names = [name for name in ours if name.partition("/")[0] == kind]
        apart = [_norm(np.asarray(theirs[name], float) - np.asarray(ours[name], float)) for name in names]
        size = [_norm(ours[name]) for name in names]
        whole = _norm(np.array(size))
        least = 1e-2 * whole / len(names)  # what hardly moves is mostly rounded
        parts = [distance / max(one, least) / 10 for distance, one in zip(apart, size, strict=True)]
        found[kind] = max(_norm(np.array(apart)) / max(whole, 1e-30), *parts) if whole else max(apart)
    return found


def check(found: Mapping[str, float], name: str, case: str, variant: str) -> None:
    """Makes sure that distances are within the tolerances of a name, that of `precision`.

    Raises:
      InputError: one is not, or is no number.
    """
    for kind, distance in found.items():
        allowed = TOLERANCES[name][kind]
        if not distance <= allowed:
            raise InputError(
                f"{case}: {kind} of PyTorch ({variant}) is {distance:.1e} from fsjax's, and {allowed:.0e} is "
                "allowed; the work is not equal, and nothing is timed."
            )


def _norm(values: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(values, float)))
