"""The last room: train a method on base classes, evaluate it on novel ones, write down what came out."""

from fsjax.experiment.evaluation import evaluate
from fsjax.experiment.settings import Sources, check, novel_episodes
from fsjax.experiment.training import train

__all__ = ["Sources", "check", "evaluate", "novel_episodes", "train"]
