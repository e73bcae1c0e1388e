"""Where an evaluation departs from its preset, of given episodes as their manifest says they were drawn."""

from typing import Any

from ml_collections import ConfigDict

from fsjax import config as configuration
from fsjax.data import manifest
from fsjax.experiment.settings import name_of_area


def departures(config: ConfigDict, header: manifest.Header, run_length: int) -> dict[str, tuple[Any, Any]]:
    """Returns the fields that are not as the preset in `eval.protocol` says: its value, and what holds.

    Args:
      config: of the evaluation.
      header: of its episodes, which may be drawn otherwise than the configuration says.
      run_length: how many of them make a run.
    """
    drawn, rule = config.copy_and_resolve_references(), manifest.rule_of(header)
    drawn.eval.policy, drawn.eval.runs, drawn.eval.episodes = header.policy, header.runs, run_length
    drawn.eval.min_area = header.eligibility if rule is None else name_of_area(rule)
    return configuration.departures(drawn)
