"""Where nobody names a model it is DINOv2-small, or ResNet-50, which is said."""

import logging
import time

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save

from fsjax.errors import InputError
from fsjax.models.backbones.hub import HubFile, fetch
from fsjax.segmenter import loading
from fsjax.segmenter.usual import usual
from tests.hub_server import in_place_of_the_hub

DINOV2, RESNET = "facebook/dinov2-small", "timm/resnet50.tv_in1k"
WEIGHTS = save({"any": np.ones(3, np.float32)})


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits"))
    with in_place_of_the_hub(monkeypatch, tmp_path / "cache") as hub:
        yield hub


def unplugged(hub):
    hub.shutdown()
    hub.server_close()


def offline(hub):
    constants.HF_HUB_OFFLINE = True  # the fixture puts it back


def test_weights_are_fetched_once_and_then_taken_from_the_cache(hub):
    hub.add(DINOV2, WEIGHTS)
    about = "The model is dinov2-small (DINOv2, Apache-2.0 licence), which is taken where none is named: "
    assert usual() == ("dinov2-small", f"{about}its weights have been fetched.")
    unplugged(hub)
    assert usual() == ("dinov2-small", f"{about}its weights are in the hub's cache.")


@pytest.mark.parametrize("trouble", [unplugged, offline])
def test_without_a_network_it_is_resnet_where_that_is_at_hand(trouble, hub, caplog):
    hub.add(RESNET, WEIGHTS)
    fetch(HubFile(RESNET))
    trouble(hub)
    model, why = usual()
    assert model == "imagenet"
    assert why.startswith(
        "The model is imagenet, ResNet-50, because dinov2-small cannot be taken: model.safetensors of "
        f"{DINOV2} is not in the cache, or damaged there, and cannot be fetched ("
    )
    assert "\n" not in why
    with pytest.raises(InputError):
        loading.load(None)  # these are no weights of a ResNet
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [why]


def test_where_the_hub_does_not_have_it_it_is_resnet(hub):
    hub.refusals[f"/{DINOV2}/resolve/main/model.safetensors"] = 401, "RepoNotFound"
    model, why = usual()
    assert model == "imagenet"
    assert "or name timm/vit_small_patch14_dinov2.lvd142m, which has the same weights." in why


@pytest.mark.parametrize("trouble", [unplugged, offline])
def test_with_nothing_at_hand_one_sentence_says_what_to_put_where(trouble, hub):
    trouble(hub)
    with pytest.raises(InputError) as refusal:
        usual()
    said = str(refusal.value)
    assert f"download {hub.endpoint}/{DINOV2}/resolve/main/model.safetensors where there is a network" in said
    assert said.endswith("or --model=FOLDER/model.safetensors to predict.py.")
    assert hub.asked == []


def test_a_file_of_that_name_here_is_taken(hub, tmp_path):
    (tmp_path / "dinov2-small").write_bytes(b"")
    assert usual()[1].endswith("a file or folder of that name is here.")
    assert hub.asked == []
