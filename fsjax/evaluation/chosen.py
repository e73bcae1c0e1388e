"""Which episodes of an evaluation are shown, where they are chosen by what a row scores on them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from fsjax.evaluation.metrics import Record, count, known_mean, ratio


class Chosen(NamedTuple):
    """An episode that is shown."""

    place: int  # among the episodes of the row
    note: str  # why it is shown; "" says nothing


def choose(records: Sequence[Record], number: int, which: str, *, void: str, counting: str) -> list[Chosen]:
    """Returns the episodes to show, in the order of the sheet, by the IoU of their first queries.

    A query photo is taken once: of several episodes with the same one, the first in the order that is asked
    for. With fewer photos than were asked for, each is shown. An IoU that is not defined counts as 1: nothing
    is there, and nothing was found.

    Args:
      records: of all episodes of a row, in their order.
      number: how many are shown at most.
      which: "best", falling; "worst", rising; "median", those whose ranks are nearest to the middle;
        or "spread", a third of each, the best with what does not divide.
      void: see `metrics.count`.
      counting: see `metrics.count`.
    """
    ious = first_ious(records, void=void, counting=counting)
    number = min(number, len({record["query"][0] for record in records}))
    best = np.argsort(-np.nan_to_num(ious, nan=1.0), kind="stable").tolist()
    middle = (len(best) - 1) / 2
    orders = {
        "best": best,
        "median": [best[rank] for rank in sorted(range(len(best)), key=lambda rank: abs(rank - middle))],
        "worst": best[::-1],
    }
    parts = orders if which == "spread" else {which: orders[which]}
    chosen: list[Chosen] = []
    seen: set[str] = set()
    for position, (note, order) in enumerate(parts.items()):
        share = (number + len(parts) - 1 - position) // len(parts)
        taken: list[Chosen] = []
        for place in order:
            (query, *_) = records[place]["query"]
            if query not in seen and len(taken) < share:
                seen.add(query)
                taken.append(Chosen(place, note))
        chosen += taken
    return chosen


def first_ious(records: Sequence[Record], *, void: str, counting: str) -> Float[np.ndarray, " episodes"]:
    """Returns the IoU of each episode's first query, averaged over the ways that occur, as a fraction.

    It is NaN where no way occurs, in the truth or in the prediction.

    Args:
      records: of one row, at least one.
      void: see `metrics.count`.
      counting: see `metrics.count`.
    """
    ids = {class_id: str(class_id) for record in records for class_id in record["class_ids"]}
    firsts = [{**record, "confusion": record["confusion"][:1]} for record in records]
    counts = count(firsts, ids, void=void, counting=counting)
    return known_mean(ratio(counts.intersections[:, 1:], counts.unions[:, 1:]))
