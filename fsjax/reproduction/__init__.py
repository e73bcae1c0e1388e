"""The papers' tables and figures: the numbers that they print, and ours beside them."""

from fsjax.reproduction.curves import Point, draw_curves, draw_panels, read_curves
from fsjax.reproduction.layout import Found, Reproduction
from fsjax.reproduction.published import PublishedFigure, PublishedTable, published, published_figures
from fsjax.reproduction.tables import latex, markdown

__all__ = [
    "Found", "Point", "PublishedFigure", "PublishedTable", "Reproduction", "draw_curves", "draw_panels",
    "latex", "markdown", "published", "published_figures", "read_curves",
]  # fmt: skip
