"""Masks of many photos, in a folder to leaf through: what predict.py does, for any source of photos."""

from fsjax.prediction.answers import Answers
from fsjax.prediction.checks import check_of_supports
from fsjax.prediction.own_files import check_free
from fsjax.prediction.predict import MIN_PRESENCE, Options, Query, predict

__all__ = ["MIN_PRESENCE", "Answers", "Options", "Query", "check_free", "check_of_supports", "predict"]
