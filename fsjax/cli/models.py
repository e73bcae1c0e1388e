"""The model that a program segments with: the one that is named, a network's own, or the usual one."""

from collections.abc import Sequence

from ml_collections import ConfigDict

from fsjax.cli.configs import configured, load_config, of_any_network, set_fields
from fsjax.models.backbones.named import IMAGENET
from fsjax.segmenter import loading
from fsjax.segmenter.usual import of_network, usual


def chosen_model(model: str, config: str, settings: Sequence[str]) -> tuple[str, ConfigDict, str]:
    """Returns the model, its configuration, and why it is that one, which is printed before they are fetched.

    Args:
      model: what --model names: a run, an exported model, weights; "" for nothing.
      config: the configuration's file; "" for the model's own.
      settings: "--config.FIELD=VALUE" each.

    Returns:
      The model, as `fsjax.segmenter.loading.load` takes it, its configuration, and a sentence, "" where the
      model is named.

    Raises:
      InputError: there is no such model, network or configuration, or a setting is wrong.
    """
    name, why = _asked(model, config, settings)
    if not name:
        configured(loading.configuration(IMAGENET), of_any_network(settings))  # before anything is fetched
        name, why = usual()
    if why:
        print(why)
    return name, configured(config or loading.configuration(name), settings), why


def _asked(model: str, config: str, settings: Sequence[str]) -> tuple[str, str]:
    """Returns the model that is asked for by its name, its weights or its network alone, and why it is that.

    Two empty texts where nothing is asked for.
    """
    fields = dict(setting.removeprefix("--config.").split("=", 1) for setting in settings)
    if named := model or fields.get("model.weights", ""):
        return named, ""
    if config:
        network = set_fields(load_config(config), settings).model
        return (network.weights, "") if network.weights else of_network(network)
    if "model.backbone" in fields:
        return of_network(set_fields(loading.configuration(IMAGENET), settings).model)
    return "", ""
