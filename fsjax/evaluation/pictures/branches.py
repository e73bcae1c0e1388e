"""Predictions without and with the pseudo-prototype, in the layout of DPNet's Figure 4."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from fsjax.evaluation.pictures import figures
from fsjax.evaluation.pictures.shown import Shown, named, show_answers, support_columns

SIDE = 1.9  # of a photo's place, inches
COLUMNS = 6  # beside one another; more episodes go below

BRANCHES = {"aux": "without $P_q$", "master": "with $P_q$"}
"""Outputs, and what the rows call them: P_q is the pseudo-prototype."""


def branch_sheet(path: Path, shown: Sequence[Shown], names: Sequence[str]) -> None:
    """Writes a PNG with a column for each query.

    Rows: support of each way with its mask, the query with its truth where any is known, and each output's
    mask: without (`aux`) and with (`master`) the pseudo-prototype. After `COLUMNS` queries the rows begin
    anew below.

    Args:
      path: of the PNG.
      shown: at least one, all of as many ways.
      names: of the outputs.
    """
    known = any(one.truth is not None for one in shown)
    supports = support_columns(len(shown[0].supports))
    rows = [*supports, *["query, truth"] * known, *(BRANCHES.get(name, name) for name in names)]
    across = -(-len(shown) // -(-len(shown) // COLUMNS))  # as many in every block
    blocks = [shown[start : start + across] for start in range(0, len(shown), across)]
    titles = [_title(one) for one in shown]
    above = 0.14 * max(title.count("\n") + 1 for title in titles)
    gap = 0.2 if len(blocks) == 1 else 0.2 + above
    figure, axes = figures.grid(rows * len(blocks), [""] * across, SIDE, gap, top=0.16 + above)
    for number, block in enumerate(blocks):
        of_block = axes[number * len(rows) : (number + 1) * len(rows)].T
        for one, column in zip(block, of_block, strict=False):
            column[0].set_title(_title(one), fontsize=8, fontweight="bold", color=figures.INK, pad=4)
            show_answers(one, column, names, known)
    figures.save(figure, path)


def _title(one: Shown) -> str:
    """Returns the classes and the note, on one line where they fit."""
    whole = ", ".join(named(name) for name in one.classes) + f" ({one.note})" * bool(one.note)
    return textwrap.fill(whole, 26)
