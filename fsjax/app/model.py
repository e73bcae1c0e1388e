"""Which weights the page uses, in words."""

from pathlib import Path

from ml_collections import ConfigDict

from fsjax.models.backbones.backbone import Backbone
from fsjax.models.backbones.named import IMAGENET, NAMED, licence

_METHODS = {"prnet": "PRNet", "dpnet": "DPNet", "fssdino": "FSSDINO"}


def described(source: str, config: ConfigDict, backbone: Backbone) -> str:
    """Returns what is said of a model: method, network, training, and where a licence is to be looked for.

    Args:
      source: see `fsjax.segmenter.loading.configuration`.
      config: that belongs to it.
      backbone: of its method.
    """
    method = f"{_METHODS[config.model.name]} on {config.model.backbone}"
    if config.train.steps and Path(source).exists():
        return (
            f"{method}, {source}, trained for {config.train.steps:,} steps on {config.data.name} (fold "
            f"{config.fold}). What may be done with it depends on those photos and its first weights."
        )
    where, repository = source, source
    if source == IMAGENET or (source in NAMED and not Path(source).exists()):
        repository = backbone.imagenet() if source == IMAGENET else NAMED[source].repository
        where = f"{repository} of the model hub"
    terms = licence(repository)
    under = f"They are under the {terms}." if terms else "Their publisher's licence applies."
    return f"{method}, not trained further, with the weights {where}. {under}"
