"""The rows of an evaluation: which segmenter runs on which episodes, and what its outputs are called."""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from fsjax.data import manifest
from fsjax.data.sampling import EpisodeSampler, EpisodeSpec, other_support
from fsjax.errors import InputError
from fsjax.evaluation.adapted import evaluate_adapted, named
from fsjax.evaluation.contents import Content, told
from fsjax.evaluation.controls import ANY_OBJECT, ONE_WAY, ORACLE, WRONG_SUPPORTS
from fsjax.evaluation.evaluate import evaluate
from fsjax.evaluation.paired import Comparison
from fsjax.evaluation.parts import Finished, Parts
from fsjax.evaluation.photos import Photos
from fsjax.evaluation.scoring import Scoring
from fsjax.evaluation.summary import Scored
from fsjax.evaluation.supports import Extracted
from fsjax.evaluation.team import Team
from fsjax.models.backbones.filters import FilterBank, RawRGB
from fsjax.models.backbones.hand_made import HandMade
from fsjax.models.baselines.color_histogram import ColorHistogram
from fsjax.models.baselines.over_features import OverFeatures
from fsjax.models.fssdino.clustering import Clustering
from fsjax.models.fssdino.fssdino import FSSDINO
from fsjax.models.method import Adaptable, Comparing, Networked, Segmenting, changes_plain, why_lacking
from fsjax.models.prnet.adaptation import AdaptSettings
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import PRNet
from fsjax.models.variables import Variables
from fsjax.segmenter import Segmenter

LOG = logging.getLogger(__name__)

ADAPTED = "adapted"
UNTRAINED = "untrained"
BASELINES: dict[str, Segmenting] = {
    "rgb": PRNet(HandMade(RawRGB())),
    "texture": PRNet(HandMade(FilterBank())),
    "color_histogram": ColorHistogram(),
}
"""Methods without variables; prototypes of raw colours and textures are fused as the network's are."""

FROZEN_PROTOTYPES = {f"frozen_{name}": name for name in PRNet.outputs}
"""Rows of PRNet over the frozen features of a method, and its outputs."""

BY_FSSDINO = {"fssdino_prototypes": FSSDINO.plain, "fssdino": FSSDINO.final}
"""Rows of FSSDINO over the features of a method, and its outputs."""

NO_VARIABLES: Variables = {"backbone": {"params": {}}, "head": {}}


class Row(NamedTuple):
    """An output of a scoring, and what it is called in the table."""

    name: str
    scoring: Scoring
    output: str


def check_rows(names: Sequence[str], method: Segmenting) -> None:
    """Makes sure that all rows are known.

    Raises:
      InputError: naming the first that is none of a method's outputs, the controls and the baselines.
    """
    adapted = (ADAPTED,) if isinstance(method, Adaptable) else ()
    prototypes = tuple(FROZEN_PROTOTYPES) if isinstance(method, Comparing) else ()
    fssdino = tuple(BY_FSSDINO) if isinstance(method, Networked) else ()
    choices = (*method.outputs, ORACLE, UNTRAINED, *adapted, *ONE_WAY, *BASELINES, *prototypes, *fssdino)
    choices = tuple(dict.fromkeys(choices))
    for name in names:
        if name not in choices:
            why = why_lacking(method, name)
            raise InputError(f"eval.rows holds {name!r}{why}: choose from {', '.join(choices)}.")


@dataclass(frozen=True)
class Evaluation:
    """Everything that rows are made of.

    Attributes:
      segmenter: what is evaluated.
      untrained: returns its variables from before training; called only for the row of that name.
      sampler: of the episodes, from which wrong supports are drawn.
      photos: how photos are read.
      specs: the episodes, run after run.
      run_length: episodes of each run.
      adapt_length: of each run, the first so many episodes are adapted to.
      fusion: settings of prototypes that are rows beside a method's own.
      fssdino: settings of FSSDINO where it is a row beside.
      adapt: settings of the adaptation.
      adapt_curve: whether all outputs are scored before the first step of the adaptation and after each.
      variants: other settings of the segmenter whose rows stand beside its own, by name.
      extracted: filled in: how often each photo went through the segmenter's own backbone.
      contents: filled in: what each query shows, by its id and the classes of the episode.
      parts: what an earlier run of the same evaluation has finished, and where this one keeps it; None keeps
        nothing.
      team: the processes that evaluate together; by default those of this run.
    """

    segmenter: Segmenter
    untrained: Callable[[], Variables]
    sampler: EpisodeSampler
    photos: Photos
    specs: Sequence[EpisodeSpec]
    run_length: int
    adapt_length: int
    fusion: FusionSettings
    adapt: AdaptSettings
    fssdino: Clustering = field(default_factory=Clustering)
    adapt_curve: bool = False
    variants: Mapping[str, Any] = field(default_factory=dict)
    extracted: Extracted = field(default_factory=Counter)
    contents: dict[tuple[str, tuple[int, ...]], Content] = field(default_factory=dict)
    parts: Parts | None = None
    team: Team = field(default_factory=Team.here)

    def score(self, names: Sequence[str]) -> list[Scored]:
        """Returns the rows of the given names, in the order of a table.

        Args:
          names: outputs of the method (for PRNet "fusion0", "fusion1", "fusion2", for DPNet "aux", "master"),
            "oracle", "untrained", "adapted", "wrong_support_absent", "wrong_support_present", "any_object",
            the baselines "rgb", "texture" and "color_histogram", prototypes of a frozen backbone,
            "frozen_fusion0" and so on, and FSSDINO over the same features, "fssdino_prototypes" and
            "fssdino"; see `check_rows`.
        """
        fitting = list(self._fitting(names))
        rows: list[Scored] = []
        for name in fitting:
            if name in BASELINES:
                rows += self._baseline(name)
            elif name == UNTRAINED:
                drawn = replace(self.segmenter, variables=self.untrained())
                rows += self._alone(name, drawn)
            elif name == ADAPTED:
                rows += self._adapted(names)
        own = list(self._own(fitting))
        if own:
            rows += self._pass(own, self.extracted)
        return [self._told(row) for row in sorted(rows, key=lambda row: self._position(row.name))]

    @property
    def comparisons(self) -> list[Comparison]:
        """The rows that are compared in pairs, where both are there: the second is subtracted."""
        final, plain = self._method.final, self._method.plain
        others = [plain, *reversed(FROZEN_PROTOTYPES), *reversed(BY_FSSDINO)]
        last, before = _adapted_name(final, self.adapt.steps), _adapted_name(final, 0)
        adapted = Comparison(last, before) if self.adapt_curve else Comparison(last, final, restricted=True)
        variants = [
            Comparison(named(output, variant), output)
            for variant in self.variants
            for output in dict.fromkeys((final, plain))
            if output in self._varied(variant)
        ]
        return [adapted, *(Comparison(final, other) for other in others if other != final), *variants]

    @property
    def _method(self) -> Segmenting:
        return self.segmenter.method

    def _position(self, name: str) -> int:
        """Returns where a row stands in a table: baselines first, then controls, then the method's own."""
        controls = [*BASELINES, *FROZEN_PROTOTYPES, *BY_FSSDINO, UNTRAINED, *ONE_WAY]
        controls = [name for name in controls if name not in self._method.outputs]
        own = [named(output, v) for output in self._method.outputs for v in self._settings]
        return [*controls, *own, *self._adapted_rows(self._method.outputs), ORACLE].index(name)

    @property
    def _settings(self) -> Sequence[str]:
        """The names of the segmenter's own settings and of the variants."""
        return "", *self.variants

    def _varied(self, variant: str) -> Sequence[str]:
        """Returns the outputs that are rows under a variant, or by the segmenter's own settings, ""."""
        own = self.segmenter.settings
        changed = not variant or changes_plain(own, self.variants[variant])
        return [name for name in self._method.outputs if changed or name != self._method.plain]

    def _adapted_rows(self, names: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Returns the rows of an adaptation; of each its place among the moments, and the output there.

        A curve has those of all outputs that are rows by themselves.
        """
        steps = range(self.adapt.steps + 1) if self.adapt_curve else [self.adapt.steps]
        asked = [output for output in self._method.outputs if output in names] if self.adapt_curve else []
        return {
            named(_adapted_name(output, step), variant): (moment, named(output, variant))
            for moment, step in enumerate(steps)
            for output in asked or [self._method.final]
            for variant in self._settings
            if output in self._varied(variant)
        }

    def _fitting(self, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            if name in ONE_WAY and self.sampler.ways > 1:
                LOG.info("The row %s is left out: it is for one-way episodes.", name)
            else:
                yield name

    def _own(self, names: Sequence[str]) -> Iterator[Row]:
        """Yields the rows of the segmenter's own variables, which share one pass."""
        final, plain = self._method.final, self._method.plain
        outputs = tuple(name for name in names if name in self._method.outputs)
        own = Scoring(self.segmenter, self.specs, outputs)
        yield from (Row(name, own, name) for name in outputs)
        for variant, settings in self.variants.items():
            varied = tuple(name for name in outputs if name in self._varied(variant))
            beside = Scoring(self.segmenter.with_settings(settings), self.specs, varied)
            yield from (Row(named(name, variant), beside, name) for name in varied)
        yield from self._over_features([name for name in names if name not in outputs])
        for name in names:
            if name == ANY_OBJECT:
                yield Row(name, Scoring(None, self.specs, (name,)), name)
            elif name == ORACLE:
                yield Row(name, Scoring(self.segmenter, self.specs, (plain,), oracle=True), plain)
            elif name in WRONG_SUPPORTS:
                wrong = self._wrong(WRONG_SUPPORTS[name])
                if wrong:
                    yield Row(name, Scoring(self.segmenter, wrong, (final,)), final)
                else:
                    LOG.info("The row %s is left out: no episode fits it.", name)

    def _over_features(self, names: Sequence[str]) -> Iterator[Row]:
        """Yields the rows of other methods over the segmenter's own features."""
        for rows, head, settings in (
            (FROZEN_PROTOTYPES, PRNet, self.fusion),
            (BY_FSSDINO, FSSDINO, self.fssdino),
        ):
            asked = {name: rows[name] for name in names if name in rows}
            if asked:
                assert isinstance(self._method, Networked), "rows are checked before they are made"
                over = OverFeatures(self._method, head(self._method.backbone))
                segmenter = replace(self.segmenter, method=over, settings=settings)
                beside = Scoring(segmenter, self.specs, tuple(asked.values()))
                yield from (Row(name, beside, output) for name, output in asked.items())

    def _wrong(self, present: bool) -> list[EpisodeSpec]:
        drawn = (other_support(spec, self.sampler, present) for spec in self.specs)
        return [spec for spec in drawn if spec is not None]

    def _baseline(self, name: str) -> Iterator[Scored]:
        inputs = self.segmenter.inputs, self.segmenter.scales
        segmenter = Segmenter(BASELINES[name], NO_VARIABLES, self.fusion, *inputs)
        return self._alone(name, segmenter)

    def _alone(self, name: str, segmenter: Segmenter) -> Iterator[Scored]:
        final = segmenter.method.final
        return self._pass([Row(name, Scoring(segmenter, self.specs, (final,)), final)])

    def _pass(self, rows: Sequence[Row], extracted: Extracted | None = None) -> Iterator[Scored]:
        """Scores rows whose segmenters share the variables of one backbone."""
        scorings = list(dict.fromkeys(row.scoring for row in rows))
        LOG.info("Evaluating %s.", ", ".join(row.name for row in rows))
        began = time.monotonic()
        finished = self._finished([row.name for row in rows], *(scoring.specs for scoring in scorings))
        counted = evaluate(self.photos, scorings, finished=finished, team=self.team)
        seconds = finished.seconds + time.monotonic() - began
        ids = self.photos.source.ids
        self.contents.update({(ids[at], classes): found for (at, classes), found in counted.contents.items()})
        if extracted is not None:
            extracted.update(counted.extracted)
            LOG.info("%d extractions of features.", extracted.total())
        for name, scoring, output in rows:
            matrices = counted.counts[scorings.index(scoring)][output]
            yield self._scored(name, scoring.specs, matrices, seconds)

    def _adapted(self, names: Sequence[str]) -> Iterator[Scored]:
        first = [s for s in self.specs if self._places[s.index][1] < self.adapt_length]
        began = time.monotonic()
        rows = self._adapted_rows(names)
        finished = self._finished(list(rows), first)
        counted = evaluate_adapted(
            self.photos, self.segmenter, first, self.adapt, variants=self.variants, curve=self.adapt_curve,
            finished=finished, team=self.team,
        )  # fmt: skip
        seconds = finished.seconds + time.monotonic() - began
        for row, (moment, output) in rows.items():
            yield self._scored(row, first, counted[moment][output], seconds)

    def _finished(self, rows: Sequence[str], *specs: Sequence[EpisodeSpec]) -> Finished:
        """Returns what is finished of the pass that counts some rows on some episodes."""
        if self.parts is None:
            return Finished()
        of_specs = (manifest.digest(of_scoring, self.photos.source.ids) for of_scoring in specs)
        return self.parts.of(json.dumps([*rows, *of_specs]), self.team.index)

    def _told(self, row: Scored) -> Scored:
        """Adds to the episodes of a row what their queries show, if a pass has counted it."""

        def completed(record: dict[str, Any]) -> dict[str, Any]:
            classes = tuple(record["class_ids"])
            if any((query, classes) not in self.contents for query in record["query"]):
                return record
            return {**record, **told([self.contents[query, classes] for query in record["query"]])}

        return replace(row, records=[completed(record) for record in row.records])

    @cached_property
    def _places(self) -> dict[int, tuple[int, int]]:
        """For each episode's index its run, and its place in that run."""
        return {spec.index: divmod(i, self.run_length) for i, spec in enumerate(self.specs)}

    def _scored(
        self, name: str, specs: Sequence[EpisodeSpec], counted: Sequence[np.ndarray], seconds: float
    ) -> Scored:
        ids = self.photos.source.ids
        records: list[dict[str, Any]] = [
            {
                "row": name,
                "run": self._places[spec.index][0],
                "index": spec.index,
                "class_ids": list(spec.class_ids),
                "support": [[ids[position] for position in way] for way in spec.support],
                "shown": list(spec.shown),
                "query": [ids[position] for position in spec.query],
                "confusion": matrices.tolist(),
            }
            for spec, matrices in zip(specs, counted, strict=True)
        ]
        return Scored(name, records, manifest.digest(specs, ids), seconds)


def _adapted_name(output: str, steps: int) -> str:
    return f"{output}_adapt{steps}"
