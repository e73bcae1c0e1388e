"""Files that are no sound export: each is refused with a sentence that names it, and none is unpickled."""

import json
import pickle
import struct

import numpy as np
import pytest
import safetensors
from safetensors.numpy import load, save

from fsjax.errors import InputError
from fsjax.training import frozen, release
from fsjax.training.release_header import sealed
from tests.runs import prnet_config
from tests.same import assert_same_bits
from tests.training.test_release import saved

CASES = 300


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The bytes of an export, its arrays, and what is in its header."""
    folder = tmp_path_factory.mktemp("run")
    saved(folder, prnet_config())
    file = folder / "x.safetensors"
    release.export_run(folder, file)
    with safetensors.safe_open(file, "numpy") as opened:
        header = json.loads(opened.metadata()["fsjax"])
    del header["sha256"], header["format"]
    return file.read_bytes(), load(file.read_bytes()), header


def refused(tmp_path, data):
    """Returns the sentence about a file of these bytes."""
    file = tmp_path / "bad.safetensors"
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"bad\.safetensors") as caught:
        release.read(file)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def read(file):
    """Returns what is read of a file, or None where a sentence that names it refuses."""
    try:
        return release.read(file)
    except InputError as error:
        if "bad.safetensors" not in str(error):
            raise
    return None


def written(arrays, header):
    return save(arrays, metadata=sealed(header))


def with_arrays(exported, **changes):
    """The file with arrays replaced, taken away (None) or added, sealed as if it were meant."""
    _, arrays, header = exported
    changed = {**arrays, **{name.replace("__", "."): array for name, array in changes.items()}}
    kept = {name: array for name, array in changed.items() if array is not None}
    return written(kept, {**header, "variables_sha256": frozen.digest(kept)})


def test_no_array_is_missing_or_too_many(exported, tmp_path):
    assert "lacks the array backbone.params.bn1.bias" in refused(
        tmp_path, with_arrays(exported, backbone__params__bn1__bias=None)
    )
    assert "has, besides the variables of its method, the array extra" in refused(
        tmp_path, with_arrays(exported, extra=np.zeros(1, np.float32))
    )


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((5,), np.float32), r"is float32 \(5,\), and its method needs float32 \(4,\)"),
        (np.zeros((4,), np.float16), r"is float16 \(4,\), and its method needs float32 \(4,\)"),
        (np.float32([0, np.nan, 0, 0]), "holds values that are not finite"),
        (np.float32([0, 0, -np.inf, 0]), "holds values that are not finite"),
    ],
)
def test_an_array_of_another_kind_is_refused(exported, tmp_path, array, sentence):
    file = tmp_path / "bad.safetensors"
    file.write_bytes(with_arrays(exported, backbone__params__bn1__bias=array))
    with pytest.raises(InputError, match=rf"bad\.safetensors.*{sentence}"):
        release.read(file)


def test_another_value_than_was_written_is_damage(exported, tmp_path):
    _, arrays, header = exported
    name = "backbone.params.bn1.bias"
    sentence = refused(tmp_path, written({**arrays, name: arrays[name] + 1}, header))
    assert "is damaged (its arrays are not those that were written): copy or export it again" in sentence


def test_backbone_weights_are_no_export(exported, tmp_path):
    _, arrays, _ = exported
    for metadata in (None, {"format": "pt"}):
        sentence = refused(tmp_path, save(arrays, metadata=metadata))
        assert "is no exported model, as its header is not one of fsjax" in sentence


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        b"\xff" * 64,
        b"PK\x03\x04 a zip, as .npz and .pth are",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 20) + b'{"__metadata__": [1]}',
        struct.pack("<Q", 100_000) + b"[" * 100_000,
    ],
)
def test_other_files_are_no_export(tmp_path, data):
    assert "is no exported model" in refused(tmp_path, data)


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    assert "is no exported model" in refused(tmp_path, pickle.dumps({"fsjax": Trap()}))
    assert not (tmp_path / "sprung").exists()


def test_a_file_of_a_newer_fsjax_is_refused(exported, tmp_path):
    _, arrays, header = exported
    newer = written(arrays, {**header, "version": 99})
    assert "with version 99 of the configuration" in refused(tmp_path, newer)
    assert "install a newer fsjax" in refused(tmp_path, written(arrays, {**header, "format": 2}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"config": None}, "it lacks the configuration"),
        ({"config": {"model": {"name": "unet"}}}, "model.name is 'unet'"),
        ({"config": {"colour": 1}}, "it has the field colour"),
        ({"config": {"model": 1}}, "it has the field model"),
        ({"found": []}, "it lacks the configuration or what the run found"),
        ({"version": None}, "version None"),
        ({"variables_sha256": None}, "is damaged (its arrays"),
    ],
)
def test_a_header_that_somebody_else_made_is_refused(exported, tmp_path, changes, sentence):
    _, arrays, header = exported
    assert sentence in refused(tmp_path, written(arrays, {**header, **changes}))


def test_no_accident_to_a_file_goes_unnoticed(exported, tmp_path):
    """Flipped bits and cut ends at many places: a sentence, or the very same model."""
    whole, _, _ = exported
    rng = np.random.default_rng(5)
    length = 8 + int.from_bytes(whole[:8], "little")
    places = np.concatenate(
        [rng.integers(0, length, 3 * CASES // 4), rng.integers(length, len(whole), CASES // 4)]
    )
    file, sound = tmp_path / "bad.safetensors", tmp_path / "sound.safetensors"
    sound.write_bytes(whole)
    expected, same = release.read(sound), 0
    for case, place in enumerate(places.tolist()):
        data = bytearray(whole)
        if case % 5:
            data[place] ^= 1 << int(rng.integers(8))
        else:
            del data[place:]
        file.write_bytes(data)
        model = read(file)
        if model:
            same += 1
            assert_same_bits(model.variables, expected.variables)
            assert model.header == expected.header
            assert case % 5, "a cut file was read"
    assert same < CASES / 20


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(InputError, match="there is no such file: name an exported model"):
            release.read(path)
