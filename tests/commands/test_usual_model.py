"""predict.py and the page without --model: DINOv2-small, its weights drawn, out of a hub that is none."""

import json

import pytest
from safetensors.numpy import save

import predict
from fsjax.app import __main__ as app
from fsjax.models.backbones.named import NAMED
from tests.commands.own_photos import drawn, mask_of, saved, segment, show
from tests.commands.programs import start
from tests.hub_server import in_place_of_the_hub
from tests.outlined_weights import weights_of

FIELDS = ("--config.model.backbone_options.deep=1", "--config.eval.size=56")
REPOSITORY = "facebook/dinov2-small"


@pytest.fixture
def place(tmp_path):
    show(tmp_path / "shown")
    saved(tmp_path / "photos" / "a.png", drawn(100)[0])
    return tmp_path


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with in_place_of_the_hub(monkeypatch, tmp_path / "cache") as hub:
        yield hub


def test_photos_are_segmented_and_the_model_is_said(place, hub, capsys):
    hub.add(REPOSITORY, save(weights_of("dinov2_small", blocks=1)))
    assert segment(place, *FIELDS) == 0
    said = capsys.readouterr().out
    assert "The model is dinov2-small (DINOv2, Apache-2.0 licence)" in said
    told = json.loads((place / "found" / "prediction.json").read_text())
    assert told["model"] == "dinov2-small"
    assert told["config"]["model"]["backbone"] == "dinov2_small"
    assert mask_of(place / "found", "a").shape == (36, 44)
    assert "which is taken where none is named" in (place / "found" / "index.html").read_text()


ASKED = {
    "a network": (
        ("--config.model.backbone=dinov2_base",),
        ("dinov2-base", "dinov2_base", False),
        "The model is dinov2-base (Apache-2.0 licence), the published weights of dinov2_base.",
    ),
    "one with registers": (
        ("--config.model.backbone=dinov2_small", "--config.model.backbone_options.registers=True"),
        ("dinov2-small-registers", "dinov2_small", True),
        "The model is dinov2-small-registers (Apache-2.0 licence), the published weights of dinov2_small.",
    ),
    "weights": (("--config.model.weights=dinov2-base",), ("dinov2-base", "dinov2_base", False), ""),
}


@pytest.mark.parametrize("asked", ASKED)
def test_a_network_or_weights_that_fields_name_are_the_model(asked, place, hub, capsys, monkeypatch):
    given, (name, backbone, registers), said = ASKED[asked]
    weights = weights_of(backbone, blocks=1, registers=registers)
    hub.add(NAMED[name].repository, save(weights))
    assert segment(place, *given, *FIELDS) == 0
    assert capsys.readouterr().out.startswith(f"{said}\n" if said else "Each support, ")
    told = json.loads((place / "found" / "prediction.json").read_text())
    model = told["config"]["model"]
    assert (told["model"], model["weights"], model["backbone"]) == (name, name, backbone)
    assert model["backbone_options"]["registers"] == registers
    about = []
    monkeypatch.setattr(app.Server, "serve_forever", lambda server: about.append(server.work.about))
    assert start(app, "--port=0", *given, *FIELDS) == 0
    assert about[0].startswith(f"PRNet on {backbone}, not trained further, with the weights")
    assert about[0].endswith(said or "under the Apache-2.0 licence.")


def test_a_network_of_imagenet_s_has_those(place, hub, refusal):
    """Of which the hub here has none."""
    flags = [f"--{name}={place / folder}" for name, folder in FOLDERS.items()]
    said = refusal(predict, *flags, "--config.model.backbone=resnet101")
    assert "timm/resnet101.tv_in1k" in said
    assert "there are no published weights of small" in refusal(
        predict, *flags, "--config.model.backbone=small"
    )


def test_its_own_size_is_the_table_of_positions(place, hub, monkeypatch):
    hub.add(REPOSITORY, save(weights_of("dinov2_small", blocks=1)))
    loaded = []
    monkeypatch.setattr(predict.Segmenter, "load", lambda model, config: loaded.append(config) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict.program(["predict.py", *(f"--{name}={place / folder}" for name, folder in FOLDERS.items())])
    assert (loaded[0].eval.size, loaded[0].eval.input, loaded[0].eval.label) == (518, "square", "original")


FOLDERS = {"support": "shown", "query": "photos", "out": "found"}


def test_without_a_network_a_wrong_folder_is_told_before_any_weights(place, hub, refusal):
    hub.shutdown()
    hub.server_close()
    flags = f"--query={place}/photos", f"--out={place}/found"
    assert "nowhere" in refusal(predict, f"--support={place}/nowhere", *flags)
    said = refusal(predict, f"--support={place}/shown", *flags)
    assert f"model.safetensors of {REPOSITORY} is not in the cache" in said
    assert not (place / "found").exists()


def test_the_page_says_which_model_it_has(hub, monkeypatch, capsys):
    hub.add(REPOSITORY, save(weights_of("dinov2_small", blocks=1)))
    about = []
    monkeypatch.setattr(app.Server, "serve_forever", lambda server: about.append(server.work.about))
    assert start(app, "--port=0", *FIELDS) == 0
    assert about == [
        "PRNet on dinov2_small, not trained further, with the weights facebook/dinov2-small of the model "
        "hub. They are under the Apache-2.0 licence. The model is dinov2-small (DINOv2, Apache-2.0 licence), "
        "which is taken where none is named: its weights have been fetched."
    ]
    assert "The model is dinov2-small" in capsys.readouterr().out
