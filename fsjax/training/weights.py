"""Where a method's variables come from: pretrained weights, another run's extractor, a seed, a checkpoint."""

from pathlib import Path

import jax
from ml_collections import ConfigDict

from fsjax.errors import InputError
from fsjax.models.backbones import pretrained
from fsjax.models.method import Method
from fsjax.models.variables import Variables
from fsjax.training import frozen
from fsjax.training.checkpoints import Checkpoints
from fsjax.training.optimizer import learning_rate
from fsjax.training.same_run import check_same_extractor, check_same_task
from fsjax.training.step import split


def initial_variables(config: ConfigDict, method: Method) -> Variables:
    """Returns a method's variables before any training.

    The extractor is that of `model.weights`, a file or the folder of a run of the same task; without one, or
    where it says "random", it is drawn from the seed, as the head always is.

    Raises:
      InputError: for weights that are missing, of another architecture, or of a run that saw novel classes or
        has not ended; and for none where the extractor is frozen.
    """
    rng = jax.random.key(config.seed)
    place = config.model.weights
    if method.frozen and not place:
        raise InputError(
            "This method never trains its extractor: set model.weights to a file or a run's folder, or to "
            "random, to freeze one that has learned nothing."
        )
    if place in ("", "random"):
        return method.init(rng)
    if not Path(place).exists():
        raise InputError(
            f"model.weights is {place}, and nothing is there: name a .npz or .safetensors file, or train a "
            "PRNet on the same fold first and name its folder."
        )
    like = jax.eval_shape(method.init, rng)["backbone"]
    backbone = _of_run(config, place, like) if Path(place).is_dir() else _of_file(config, place, like)
    return {"backbone": backbone, "head": method.init_head(rng)}


def trained_variables(config: ConfigDict, method: Method, workdir: str | Path) -> tuple[Variables, int]:
    """Returns the variables of a run's latest checkpoint, and its step.

    Raises:
      InputError: where there is none, or the run is of another fold or data set, so that novel classes would
        not be novel.
    """
    with Checkpoints(workdir) as checkpoints:
        check_same_task(checkpoints.config(), config, workdir)
        shapes = jax.eval_shape(method.init, jax.random.key(config.seed))
        learned, fixed = split(method, shapes)
        kept = kept_variables(fixed, workdir, checkpoints.config().model.backbone_sha256)
        return {**kept, **checkpoints.variables(learned)}, checkpoints.latest_step


def kept_variables(like: Variables, workdir: str | Path, sha256: str) -> Variables:
    """Returns the variables that a run keeps beside its checkpoints.

    Args:
      like: those that `split` sets apart, or their shapes; where there are none, none are returned.
      workdir: the run's folder.
      sha256: what its checkpoints say of the extractor.

    Raises:
      InputError: as `frozen.restore`.
    """
    return {"backbone": frozen.restore(workdir, like["backbone"], sha256)} if like else {}


def _of_run(config: ConfigDict, workdir: str, like: Variables) -> Variables:
    with Checkpoints(workdir) as checkpoints:
        stored = checkpoints.config()
        check_same_task(stored, config, workdir)
        check_same_extractor(stored, config, workdir)
        _, steps = learning_rate(stored.train, stored.batch_size, stored.lr_scaling)
        if checkpoints.latest_step < steps:
            raise InputError(
                f"{workdir} stopped at step {checkpoints.latest_step} of {steps}: run its training to the "
                "end before another takes its extractor."
            )
        if stored.model.backbone_sha256:
            return frozen.restore(workdir, like, stored.model.backbone_sha256)
        return checkpoints.variables({"backbone": like, "head": {}})["backbone"]


def _of_file(config: ConfigDict, path: str, like: Variables) -> Variables:
    convention = config.model.backbone_options.get("convention", "torchvision")
    return pretrained.load(path, like, convention=convention)
