"""The papers' tables and figures: the numbers that they print, and ours beside them."""

from fsjax.reproduction.curves import Point, draw_curves, draw_panels, read_curves
from fsjax.reproduction.jobs import Evaluation, Job, Training
from fsjax.reproduction.layout import Found, Reproduction
from fsjax.reproduction.plans import PLANS
from fsjax.reproduction.published import PublishedFigure, PublishedTable, published, published_figures
from fsjax.reproduction.running import named, plan, rehearse, reproduce, scale
from fsjax.reproduction.tables import latex, markdown
from fsjax.reproduction.writing import FOLDER

__all__ = [
    "FOLDER", "PLANS", "Evaluation", "Found", "Job", "Point", "PublishedFigure", "PublishedTable",
    "Reproduction", "Training",
    "draw_curves", "draw_panels", "latex", "markdown", "named", "plan", "published", "published_figures",
    "read_curves", "rehearse", "reproduce", "scale",
]  # fmt: skip
