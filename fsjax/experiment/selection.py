"""Selection while training: the checkpoint that scores best, by the evaluation's code on other episodes."""

import logging
import math
import time
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import replace

import jax
import numpy as np
from ml_collections import ConfigDict

from fsjax import config as configuration
from fsjax import distributed, preemption
from fsjax.config import Found, Selected
from fsjax.config.fields import SEED
from fsjax.data import manifest
from fsjax.data.index import ClassIndex, build_index
from fsjax.data.sampling import (
    EpisodeSampler,
    ImageSampler,
    ListSampler,
    PairSampler,
    TooFewImagesError,
    fold_classes,
)
from fsjax.data.source import Source
from fsjax.errors import InputError
from fsjax.evaluation.metrics import count, mean_iou
from fsjax.experiment.settings import Sources, evaluated_area, evaluation_of, sampler_of
from fsjax.models.method import Trainable
from fsjax.models.variables import Variables
from fsjax.segmenter import Segmenter
from fsjax.training.runs import Run
from fsjax.training.weights import run_folder

LOG = logging.getLogger(__name__)

NONE, BASE_VAL, NOVEL_FOLD = "none", "base_val", "novel_fold"
"""Values of `train.select`."""

FIRST_SEED = SEED + 1
"""Seeds of selections begin where those of evaluations end: no draw is shared, though two may be equal."""

_NO_MATTER = (
    "eval.runs", "eval.episodes", "eval.adapt", "eval.seed", "eval.rows", "eval.batch_size", "eval.memory",
    "eval.allow_trained_classes", "eval.pictures", "eval.protocol", "eval.variants",
)  # fmt: skip
"""How fields of the evaluation begin that do not decide what a selection measures."""


class Selection:
    """Measures checkpoints of a training on the same episodes, and keeps the best in mind.

    The score is the mean-IoU of the method's final output under the protocol of `config.eval`, on
    `train.select_episodes` episodes: with `base_val` of base classes, on photos of the test list that are not
    in the training list; with `novel_fold` of the tested classes, which tells more of them than any training
    may know (as most of the field's code does).

    Attributes:
      sampler: of the episodes.
      times: how often the whole training selects.
    """

    def __init__(
        self, config: ConfigDict, method: Trainable, source: Source, sampler: EpisodeSampler, steps: int
    ):
        """Draws the episodes.

        Args:
          config: see `fsjax.config.TABLE`.
          method: what is trained.
          source: whose photos are segmented.
          sampler: of the episodes.
          steps: of the training.
        """
        self.sampler, self._config, self._method, self._source = sampler, config, method, source
        self._every, self._last = config.train.select_every, steps
        self.times = math.ceil(steps / self._every)
        self._specs = [sampler(i) for i in range(config.train.select_episodes)]
        self._sha256 = manifest.digest(self._specs, source.ids)
        self._seconds = 0.0

    @classmethod
    def configured(
        cls, config: ConfigDict, sources: Sources, method: Trainable, steps: int
    ) -> "Selection | None":
        """Returns the selection that a configuration asks for; None without one.

        Args:
          config: see `fsjax.config.TABLE`.
          sources: "train" and "test".
          method: that the configuration describes.
          steps: of the training.

        Raises:
          InputError: no photos are held out of training, or too few of a class.
        """
        if config.train.select == NONE:
            return None
        return cls(config, method, sources["test"], _sampler(config, sources), steps)

    def check_earlier(self, found: Found) -> None:
        """Makes sure that the scores that a run has so far are of these episodes.

        Raises:
          InputError: they are of others.
        """
        if "selection" in found and found["selection"]["sha256"] != self._sha256:
            raise InputError(
                "The run measured its checkpoints on other episodes than would be drawn now: go on with the "
                "data and the fsjax it began with, or name another --workdir."
            )

    def due(self, step: int) -> bool:
        """Says whether the checkpoint of a step is measured."""
        return step % self._every == 0 or step == self._last

    def measure_left(self, step: int, variables: Variables, found: Found) -> float | None:
        """Returns the score of the latest checkpoint where SIGTERM came before it was known, else None.

        Args:
          step: of the checkpoint.
          variables: likewise.
          found: by the run; see `measure`.

        Raises:
          Preempted: SIGTERM; the next start is to measure it.
        """
        if found.get("unmeasured") != step:
            return None
        with nullcontext() if distributed.several() else preemption.at_once():
            score = self.measure(step, variables, found)
        del found["unmeasured"]
        return score

    def measure_unless_stopping(
        self, step: int, variables: Variables, found: Found, stopping: bool
    ) -> float | None:
        """Returns what `measure` does; None where SIGTERM comes before or meanwhile, as `found` then notes.

        Args:
          step: the last one is measured in any case, as nothing is saved after it.
          variables: of the step.
          found: by the run.
          stopping: whether all processes of the run stop after this step.

        Raises:
          Preempted: a second SIGTERM of one of several processes; the others would not save with it.
        """
        if distributed.several():
            if not stopping or step == self._last:
                return self.measure(step, variables, found)
            found["unmeasured"] = step
            return None
        try:
            with nullcontext() if step == self._last else preemption.at_once():
                return self.measure(step, variables, found)
        except preemption.Preempted:
            found["unmeasured"] = step
            return None

    def measure(self, step: int, variables: Variables, found: Found) -> float:
        """Returns the score of a step's variables in percent, and notes in `found` whether it is the best.

        Of equal scores the earlier stays.

        Raises:
          FloatingPointError: the variables are not finite.
        """
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables)):
            raise FloatingPointError(
                f"The weights after step {step} are not finite: lower train.learning_rate and begin anew in "
                "another --workdir."
            )
        began = time.monotonic()
        score = float(distributed.from_main(self._score(variables)))  # the same for all, to the last bit
        seconds = time.monotonic() - began
        self._seconds += seconds
        if "selection" not in found or score > found["selection"]["score"]:
            found["selection"] = Selected(
                step=step, score=score, row=self._method.final, episodes=len(self._specs), sha256=self._sha256
            )
        best = found["selection"]
        LOG.info(
            "Step %d: mean-IoU %.2f on the %d episodes of %s, in %.1f s (selecting has taken %.0f s in all). "
            "The best is %.2f of step %d.",
            step, score, len(self._specs), self._config.train.select, seconds, self._seconds, best["score"],
            best["step"],
        )  # fmt: skip
        return score

    def _score(self, variables: Variables) -> float:
        segmenter = Segmenter.configured(self._config, self._method, variables)
        evaluation = evaluation_of(
            self._config, segmenter, self._source, self.sampler, self._specs, len(self._specs),
            untrained=lambda: variables,
        )  # fmt: skip
        evaluation = replace(evaluation, variants={})
        (row,) = evaluation.score([self._method.final])
        classes = {c: self._source.class_names[c - 1] for c in self.sampler.classes}
        protocol = self._config.eval
        return 100 * float(
            mean_iou(count(row.records, classes, void=protocol.void, counting=protocol.counting))
        )


def _sampler(config: ConfigDict, sources: Sources) -> EpisodeSampler:
    """Returns where the episodes are drawn; of a walk through a list they are a random part."""
    source, seed = sources["test"], FIRST_SEED + config.seed
    base, novel = fold_classes(source.folds, config.fold)
    part, area = config.eval.copy_and_resolve_references(), evaluated_area(config)
    if part.policy in (ListSampler.policy, ImageSampler.policy):
        part.policy = PairSampler.policy
    if config.train.select == NOVEL_FOLD:
        return sampler_of(config, source, novel, part, seed, area)
    without = novel if config.data.drop_novel_images else ()
    index = _held_out(source, sources["train"].ids)
    try:
        return sampler_of(config, source, base, part, seed, area, without, index)
    except TooFewImagesError as few:
        raise InputError(
            f"train.select is 'base_val', and among the photos of {source.split} that are held out of "
            f"training {few.found}: name a larger data.test_list, lower eval.shots, or set train.select=none."
        ) from None


def _held_out(source: Source, trained: Collection[str]) -> ClassIndex:
    """Returns the class index of a source without the photos that are trained on."""
    index, trained = build_index(source), set(trained)
    held_out = np.array([name not in trained for name in source.ids])
    if not held_out.any():
        raise InputError(
            f"train.select is 'base_val', and every photo of {source.split} is in the training list, too: "
            "name another data.test_list or data.train_list, or set train.select=none."
        )
    return replace(index, flags=np.where(held_out[:, None], index.flags, np.uint8(0)))


def check_same_selection(run: Run, config: ConfigDict) -> None:
    """Makes sure that a run that selects goes on to measure its checkpoints as it began.

    Raises:
      InputError: naming the first field of the evaluation that differs and decides the score.
    """
    if config.train.select != NONE:
        configuration.check_equal(
            run.config, config, run.folder,
            lambda name: name.startswith("eval.") and not name.startswith(_NO_MATTER),
        )  # fmt: skip


def selected_on(run: Run) -> list[str]:
    """Returns the names of the novel classes by whose scores a checkpoint was chosen, or its backbone's.

    A step that somebody named may have been read off the curve of those scores. The last one was not chosen.
    """
    chosen = run.selected or (run.named and run.step != run.found["steps"])
    own = run.found["novel_classes"] if chosen and run.config.train.select == NOVEL_FOLD else []
    return [*own, *run.found.get("backbone_selected_on", [])]


def backbone_selected_on(config: ConfigDict) -> list[str]:
    """Returns `selected_on` of the run in `model.weights`, if it is one."""
    folder = run_folder(config.model.weights)
    return selected_on(Run.open(folder)) if folder else []
