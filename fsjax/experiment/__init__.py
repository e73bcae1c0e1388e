"""The last room: train a method on base classes, evaluate it on novel ones, write down what came out."""

from fsjax.experiment.ablation import ablate, check_ablation
from fsjax.experiment.evaluation import Results, evaluate
from fsjax.experiment.evaluation_rehearsal import rehearse_evaluation
from fsjax.experiment.predictions import config_of_manifest, score_predictions
from fsjax.experiment.rehearsal import rehearse
from fsjax.experiment.settings import Sources, check, check_settings, novel_episodes
from fsjax.experiment.training import train

__all__ = [
    "Results", "Sources", "ablate", "check", "check_ablation", "check_settings",
    "config_of_manifest", "evaluate", "novel_episodes", "rehearse",
    "rehearse_evaluation", "score_predictions", "train",
]  # fmt: skip
