"""A training on one device is that on eight, but for rounding."""

import jax
import numpy as np

from fsjax import experiment
from fsjax.training.curves import read_metrics
from tests.runs import prnet_config


def test_one_device_trains_as_eight_do(tmp_path, sources, whole, monkeypatch):
    assert jax.local_device_count() == 8
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    experiment.train(prnet_config(), sources, tmp_path)
    one, eight = read_metrics(tmp_path), read_metrics(whole)
    assert len(one) == len(eight) == 6
    for line, other in zip(one, eight, strict=True):
        np.testing.assert_allclose(list(line.values()), list(other.values()), rtol=1e-4)
