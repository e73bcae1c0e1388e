"""What weights are read from: types that NumPy lacks, PyTorch's own files, and these without PyTorch."""

import hashlib
import os
import sys
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from fsjax.errors import InputError
from fsjax.models.backbones.weights_file import read

VALUES = np.float32([[1, -2], [0.5, 4]])


def test_bfloat16_is_read(tmp_path):
    safetensors.numpy.save_file({"a": VALUES.astype(ml_dtypes.bfloat16)}, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(read(tmp_path / "a.safetensors")["a"].astype(np.float32), VALUES)


def test_names_of_a_parallel_training_are_the_plain_ones(tmp_path):
    np.savez(tmp_path / "all.npz", **{"module.a.weight": VALUES, "module.b": VALUES})
    assert set(read(tmp_path / "all.npz")) == {"a.weight", "b"}
    np.savez(tmp_path / "some.npz", **{"module.a": VALUES, "b": VALUES})
    assert set(read(tmp_path / "some.npz")) == {"module.a", "b"}


def test_a_compressed_file_with_a_flipped_byte_is_damaged(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.arange(5000, dtype=np.float32))
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 0xFF
    path.write_bytes(contents)
    with pytest.raises(InputError, match=r"a\.npz: the weights file is damaged"):
        read(path)


def test_an_array_of_its_own_and_a_pipe_are_refused(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, VALUES)
    os.mkfifo(tmp_path / "b.npz")
    for name in ("a.npz", "b.npz"):
        with pytest.raises(InputError, match=rf"{name}: (the weights file is damaged|there is no such)"):
            read(tmp_path / name)


def test_a_name_that_ends_in_a_hash_is_believed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    right = hashlib.sha256(b"PK").hexdigest()[:8]
    for name, sentence in (
        (f"a-{right}.pth", "only where PyTorch"),
        ("a-0676ba61.pth", f"begins with {right}"),
        ("a-20240131.pth", "only where PyTorch"),
    ):
        (tmp_path / name).write_bytes(b"PK")
        with pytest.raises(InputError, match=sentence):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["resnet50.pth", "resnet50.pt"])
def test_without_pytorch_the_sentence_says_how_to_write_the_file_anew(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(InputError, match=r"only where PyTorch is installed.*save_file") as error:
        read(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "wrapped", [lambda x: x, lambda x: {"model": x, "epoch": 3}, lambda x: {"state_dict": x}]
)
def test_a_pth_gives_its_tensors(wrapped, tmp_path):
    torch = pytest.importorskip("torch")
    state = OrderedDict(a=torch.tensor(VALUES), b=torch.tensor(VALUES).bfloat16(), c=torch.tensor(7))
    torch.save(wrapped(state), tmp_path / "a.pth")
    found = read(tmp_path / "a.pth")
    assert set(found) == {"a", "b", "c"}
    np.testing.assert_array_equal(found["a"], VALUES)
    np.testing.assert_array_equal(found["b"], VALUES)
    assert found["c"] == 7


def test_a_pth_that_would_run_code_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pth"
    for bad in ({"a": print}, [1, 2], {"a": "text"}):
        torch.save(bad, path)
        with pytest.raises(InputError, match=r"holds more than tensors|no dict of tensors"):
            read(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged"):
        read(path)
