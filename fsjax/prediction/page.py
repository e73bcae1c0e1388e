"""The page to leaf through a prediction: one file beside the pictures, that needs no server."""

import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from fsjax.segmenter.overlay import ink


def of(
    title: str,
    notes: Sequence[str],
    supports: Sequence[Mapping[str, Any]],
    cards: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
) -> str:
    """Returns the page.

    Args:
      title: of it.
      notes: sentences below the title.
      supports: of each support {"picture", "lines"}.
      cards: of each photo {"name", "overlay", "mask", "maps", "found", "error"}; what is found of a class
        has the fields of `fsjax.prediction.answers.Found`.
      classes: the names of classes 1 to N.
    """
    colors = [ink(n) for n in range(1, len(classes) + 1)]
    data = {"supports": supports, "photos": cards, "classes": classes, "colors": colors}
    values = {
        "TITLE": html.escape(title),
        "NOTES": "\n".join(f"<p>{html.escape(note)}</p>" for note in notes),
        # A name may hold what would end the script.
        "DATA": json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
    }
    text = resources.files("fsjax.prediction").joinpath("index.html").read_text("utf-8")
    before, *parts = text.split("{{")
    return before + "".join(values[name] + rest for name, _, rest in (p.partition("}}") for p in parts))
