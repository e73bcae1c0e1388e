"""The papers' tables and figures: the numbers that they print, and ours beside them."""

from fsjax.reproduction.layout import Found, Reproduction
from fsjax.reproduction.published import PublishedFigure, PublishedTable, published, published_figures
from fsjax.reproduction.tables import latex, markdown

__all__ = [
    "Found", "PublishedFigure", "PublishedTable", "Reproduction",
    "latex", "markdown", "published", "published_figures",
]  # fmt: skip
