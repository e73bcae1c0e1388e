"""The rows of an evaluation: which method runs on which episodes, and what its outputs are called."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fsjax.data import manifest
from fsjax.data.sampling import EpisodeSampler, EpisodeSpec, other_support
from fsjax.errors import InputError
from fsjax.evaluation.controls import BASELINES, FROZEN_PROTOTYPES, FrozenPrototypes, count_any_object
from fsjax.evaluation.evaluate import ORACLE, Episodes, Predictor, make_predictor, run_predictor
from fsjax.evaluation.metrics import Record
from fsjax.evaluation.scales import Scales
from fsjax.models.method import Adaptable, Method
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.variables import Variables

LOG = logging.getLogger(__name__)

ADAPTED = "adapted"
ANY_OBJECT = "any_object"
UNTRAINED = "untrained"
WRONG_SUPPORTS = {"wrong_support_absent": False, "wrong_support_present": True}
"""Name of the row, and whether the class that the support shows is in the query."""

ONE_WAY = (ANY_OBJECT, *WRONG_SUPPORTS)


def check_rows(names: Sequence[str], method: Method) -> None:
    """Makes sure that all rows are known.

    Raises:
      InputError: naming the first that is none of a method's outputs, the controls and the baselines.
    """
    adapted = (ADAPTED,) if isinstance(method, Adaptable) else ()
    prototypes = tuple(FROZEN_PROTOTYPES) if method.frozen else ()
    choices = (*method.outputs, ORACLE, UNTRAINED, *adapted, *ONE_WAY, *BASELINES, *prototypes)
    for name in names:
        if name not in choices:
            raise InputError(f"eval.rows holds {name!r}: choose from {', '.join(choices)}.")


@dataclass(frozen=True)
class Scored:
    """One row before it is summarised."""

    name: str
    records: list[Record]
    manifest: str  # sha256 of the row's episodes
    seconds: float  # of the pass in which it was computed, compilation included


@dataclass(frozen=True)
class Evaluation:
    """Everything that rows are made of.

    Attributes:
      method: the one that is evaluated.
      variables: its own.
      untrained: returns its variables from before training; called only for the row of that name.
      sampler: of the episodes, from which wrong supports are drawn.
      episodes: what to score on, run after run.
      run_length: episodes of each run.
      adapt_length: of each run, the first so many episodes are adapted to.
      settings: of the method's segmentation.
      scales: at which queries are segmented.
      fusion: settings of prototypes that are rows beside a method's own.
      adapt: settings of the adaptation.
    """

    method: Method
    variables: Variables
    untrained: Callable[[], Variables]
    sampler: EpisodeSampler
    episodes: Episodes
    run_length: int
    adapt_length: int
    settings: Any
    scales: Scales
    fusion: FusionSettings
    adapt: AdaptSettings

    def score(self, names: Sequence[str]) -> Iterator[Scored]:
        """Yields the rows of the given names.

        Args:
          names: outputs of the method (for PRNet "fusion0", "fusion1", "fusion2", for DPNet "aux", "master"),
            "oracle", "untrained", "adapted", "wrong_support_absent", "wrong_support_present", "any_object",
            the baselines "rgb", "texture" and "color_histogram", and prototypes of a frozen extractor,
            "frozen_fusion0" and so on; see `check_rows`.
        """
        own = make_predictor(self.method, self.settings, scales=self.scales, oracle=ORACLE in names)
        for name in self._fitting(names):
            if name in BASELINES:
                baseline = BASELINES[name]
                predict = make_predictor(baseline, self.fusion, scales=self.scales)
                photos = replace(self.episodes, features=None)
                yield from self._run(predict, {"backbone": {}, "head": {}}, photos, {baseline.final: name})
            elif name == ANY_OBJECT:
                yield self._any_object()
            elif name == UNTRAINED:
                yield from self._run(own, self.untrained(), self.episodes, {self.method.final: name})
            elif name in WRONG_SUPPORTS:
                wrong = [
                    other_support(spec, self.sampler, WRONG_SUPPORTS[name]) for spec in self.episodes.specs
                ]
                found = self._with(spec for spec in wrong if spec is not None)
                yield from self._run(own, self.variables, found, {self.method.final: name})
            elif name == ADAPTED:
                predict = make_predictor(self.method, self.settings, self.adapt, scales=self.scales)
                first = self._with(
                    s for s in self.episodes.specs if self._places[s.index][1] < self.adapt_length
                )
                yield from self._run(predict, self.variables, first, {self.method.final: self.adapted_name})
        prototypes = {FROZEN_PROTOTYPES[name]: name for name in names if name in FROZEN_PROTOTYPES}
        if prototypes:
            predict = make_predictor(FrozenPrototypes(self.method), self.fusion, scales=self.scales)
            yield from self._run(predict, self.variables, self.episodes, prototypes)
        outputs = {name: name for name in names if name in (*self.method.outputs, ORACLE)}
        if outputs:
            yield from self._run(own, self.variables, self.episodes, outputs)

    def position(self, name: str) -> int:
        """Returns where a row stands in a table: baselines first, then controls, then the method's own."""
        controls = [*BASELINES, *FROZEN_PROTOTYPES, UNTRAINED, *ONE_WAY]
        return [*controls, *self.method.outputs, self.adapted_name, ORACLE].index(name)

    @property
    def comparisons(self) -> list[tuple[str, str]]:
        """The rows that are compared in pairs, where both are there: the second is subtracted."""
        final = self.method.final
        others = [self.method.plain, *reversed(FROZEN_PROTOTYPES)]
        return [(self.adapted_name, final), *((final, other) for other in others if other != final)]

    @property
    def adapted_name(self) -> str:
        """The name of the adapted row."""
        return f"{self.method.final}_adapt{self.adapt.steps}"

    def _fitting(self, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            if name in ONE_WAY and self.sampler.ways > 1:
                LOG.info("The row %s is left out: it is for one-way episodes.", name)
            else:
                yield name

    @cached_property
    def _places(self) -> dict[int, tuple[int, int]]:
        """For each episode's index its run, and its place in that run."""
        return {spec.index: divmod(i, self.run_length) for i, spec in enumerate(self.episodes.specs)}

    def _with(self, specs: Iterable[EpisodeSpec]) -> Episodes:
        return replace(self.episodes, specs=list(specs))

    def _run(
        self, predict: Predictor, variables: Variables, episodes: Episodes, outputs: dict[str, str]
    ) -> Iterator[Scored]:
        if not episodes.specs:
            LOG.info("The row %s is left out: no episode fits it.", ", ".join(outputs.values()))
            return
        began = time.monotonic()
        counted = run_predictor(predict, variables, episodes, ", ".join(outputs.values()))
        seconds = time.monotonic() - began
        for output, name in outputs.items():
            yield self._scored(name, episodes, counted[output], seconds)

    def _any_object(self) -> Scored:
        began = time.monotonic()
        counted = list(count_any_object(self.episodes))
        return self._scored(ANY_OBJECT, self.episodes, counted, time.monotonic() - began)

    def _scored(self, name: str, episodes: Episodes, counted: list[np.ndarray], seconds: float) -> Scored:
        runs = [self._places[spec.index][0] for spec in episodes.specs]
        return score_row(name, episodes, counted, runs, seconds)


def score_row(
    name: str, episodes: Episodes, counted: Sequence[np.ndarray], runs: Sequence[int], seconds: float
) -> Scored:
    """Returns a row with its lines of episodes.jsonl.

    Args:
      name: of the row.
      episodes: what was segmented.
      counted: the confusion matrices of each, of `run_predictor`.
      runs: the run of each.
      seconds: that it took.
    """
    ids = episodes.source.ids
    records = [
        {
            "row": name,
            "run": run,
            "index": spec.index,
            "class_ids": list(spec.class_ids),
            "support": [[ids[position] for position in way] for way in spec.support],
            "shown": list(spec.shown),
            "query": [ids[position] for position in spec.query],
            "confusion": matrices.tolist(),
        }
        for spec, run, matrices in zip(episodes.specs, runs, counted, strict=True)
    ]
    return Scored(name, records, manifest.digest(episodes.specs, ids), seconds)
