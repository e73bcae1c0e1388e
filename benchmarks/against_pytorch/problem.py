"""What both libraries are given: variables, photos with masks, and settings, as files."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]


class Problem(NamedTuple):
    """One program's arguments.

    Attributes:
      variables: by fsjax's names, with / between their parts; kernels are HWIO.
      arrays: photos, masks, maps or features, by name.
      facts: the settings that a network, a loss or an optimiser is made from.
    """

    variables: Arrays
    arrays: Arrays
    facts: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Writes it into a folder, which is made."""
        folder.mkdir(exist_ok=True)
        np.savez(folder / "variables.npz", **self.variables)
        np.savez(folder / "arrays.npz", **self.arrays)
        (folder / "facts.json").write_text(json.dumps(self.facts))

    @classmethod
    def read(cls, folder: Path) -> "Problem":
        """Returns what `write` wrote."""
        with np.load(folder / "variables.npz") as variables, np.load(folder / "arrays.npz") as arrays:
            return cls(dict(variables), dict(arrays), json.loads((folder / "facts.json").read_text()))
