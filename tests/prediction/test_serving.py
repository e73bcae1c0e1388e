"""A fitted segmenter as one program: what it answers is what the segmenter does, and fsjax is not needed."""

import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.export
import numpy as np
import pytest
from PIL import Image

from fsjax.data.images import InputSettings
from fsjax.errors import InputError
from fsjax.models.dpnet.dpnet import DPNetSettings
from fsjax.models.prnet.fusion import FusionSettings
from fsjax.models.prnet.prnet import PRNet
from fsjax.models.scales import Scales
from fsjax.prediction import serving
from fsjax.prediction.serving import columns_first, export_stablehlo, resized, taps
from fsjax.segmenter import Segmenter
from tests.models.dpnet import toy as dpnet
from tests.models.tiny import linear_backbone

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
KERNEL = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
PRNET = Segmenter(
    PRNet(linear_backbone()),
    {"backbone": {"params": {"kernel": KERNEL}}, "head": {}},
    FusionSettings(),
    InputSettings(size=32),
)
DPNET = Segmenter(
    dpnet.METHOD,
    {"backbone": dpnet.METHOD.backbone.init(jax.random.key(1)), "head": dpnet.PARAMS},
    DPNetSettings(0.2),
    InputSettings(size=33, input="longside"),
)


@pytest.fixture(autouse=True)
def _can_write():
    pytest.importorskip("flatbuffers", reason="pip install flatbuffers")


def photo(seed, height, width):
    """A red and a blue rectangle on grey, and the mask of both."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : -height // 4, width // 8 : width // 2] = 1
    mask[height // 4 : -height // 4, width // 2 : -width // 8] = 2
    noise = np.random.default_rng(seed).integers(-25, 26, (height, width, 3))
    colours = np.array([[90, 90, 90], [220, 30, 30], [30, 30, 220]])
    return (colours[mask] + noise).astype(np.uint8), mask


def fit(segmenter):
    return segmenter.fit(*([one] for one in photo(0, 40, 52)))


def mask_of(fitted, image):
    """What the segmenter itself finds in one photo."""
    return fitted.segment(image).mask


def probabilities_of(fitted, image):
    """And with which probabilities."""
    (found,) = fitted.logits([image])
    powers = np.exp(found[fitted.segmenter.method.final])
    return powers / powers.sum(-1, keepdims=True)


def pillow(image, height, width):
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((40, 70), (32, 32)),
        ((33, 20), (64, 100)),
        ((5, 300), (32, 32)),
        ((300, 5), (32, 32)),  # Pillow 13 changes heights first here
        ((1, 1), (3, 4)),
        ((31, 47), (31, 16)),
    ],
)
def test_a_photo_is_resized_as_pillow_does(before, after):
    image = np.random.default_rng(1).integers(0, 256, (*before, 3), np.uint8)
    first = columns_first(before, after)
    found = jax.jit(resized, static_argnums=(1, 2), static_argnames="columns_first")(
        image, *after, columns_first=first
    )
    np.testing.assert_array_equal(found, pillow(image, *after))


def test_weights_of_a_resize_by_hand():
    """From 4 pixels to 2: the centre lies between two, which weigh 3 each, and the next ones 1."""
    places, weights = taps(4, 2)
    line = [{}, {}]
    for place, weight in zip(places.T, weights.T, strict=True):
        for pixel, one in zip(place.tolist(), weight.tolist(), strict=True):
            if one:
                line[0 if place[0] == 0 else 1][pixel] = one / 2**22
    assert line[0] == pytest.approx({0: 3 / 7, 1: 3 / 7, 2: 1 / 7}, abs=1e-6)
    assert line[1] == pytest.approx({1: 1 / 7, 2: 3 / 7, 3: 3 / 7}, abs=1e-6)


@pytest.mark.slow  # the page's program is run by every test run
@pytest.mark.parametrize(
    "segmenter",
    [
        replace(PRNET, inputs=InputSettings(32, "longside")),
        replace(PRNET, scales=Scales((0.5, 1.0))),
        DPNET,
    ],
)
def test_the_program_finds_what_the_segmenter_finds(segmenter, tmp_path):
    """Every pixel of the mask, and probabilities but for rounding: the resize inside is Pillow's own."""
    fitted, (image, _) = fit(segmenter), photo(1, 50, 90)
    sha256 = export_stablehlo(fitted, tmp_path / "x.stablehlo", 50, 90)
    data = (tmp_path / "x.stablehlo").read_bytes()
    assert sha256 == hashlib.sha256(data).hexdigest()
    program = jax.export.deserialize(bytearray(data))
    assert program.platforms == ("cpu", "cuda", "tpu")
    assert [(aval.shape, aval.dtype) for aval in program.in_avals] == [((50, 90, 3), np.uint8)]
    found = jax.tree.map(np.asarray, program.call(image))
    assert (found["mask"].dtype, found["probabilities"].dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(found["mask"], mask_of(fitted, image))
    np.testing.assert_allclose(found["probabilities"], probabilities_of(fitted, image), atol=2e-3)
    np.testing.assert_array_equal(found["probabilities"].argmax(-1), found["mask"])
    assert np.ptp(found["probabilities"], (0, 1)).min() > 1e-3


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_pages_program_serves_without_fsjax(tmp_path, monkeypatch):
    """As the page has it, in a process of its own, on a photo that its EXIF tag turns."""
    (write,) = (code for code in blocks("python") if "export_stablehlo(" in code)
    (serve,) = (code for code in blocks("python") if "deserialize(" in code)
    assert len([line for line in serve.splitlines() if line and "import" not in line]) <= 10
    monkeypatch.chdir(tmp_path)
    written = {"fitted": fit(PRNET)}
    exec(write, written)
    image = Image.fromarray(np.rot90(photo(2, 480, 640)[0]))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save("photo.jpg", exif=exif)
    check = "\nimport sys\nassert not [name for name in sys.modules if name.startswith('fsjax')]\n"
    done = subprocess.run([sys.executable, "-c", serve + check], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == written["sha256"]
    with Image.open("photo.jpg") as stored, Image.open("mask.png") as mask:
        upright = np.asarray(stored.convert("RGB").transpose(Image.Transpose.ROTATE_270))
        np.testing.assert_array_equal(np.asarray(mask), mask_of(written["fitted"], upright))


@pytest.mark.parametrize(
    ("file", "height", "platforms", "sentence"),
    [
        ("x.safetensors", 32, ("cpu",), "let its name end in .stablehlo"),
        ("x.stablehlo", 0, ("cpu",), "Photos of 0x32 pixels cannot be"),
        ("x.stablehlo", 32, ("gpu",), "no platform 'gpu': choose from cpu, cuda, rocm, tpu"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, file, height, platforms, sentence):
    with pytest.raises(InputError, match=sentence):
        export_stablehlo(fit(PRNET), tmp_path / file, height, 32, platforms)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(serving, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install flatbuffers"):
        export_stablehlo(fit(PRNET), tmp_path / "x.stablehlo", 32, 32)
