"""What the processes of an evaluation must have in common, and what parts of a killed one go by."""

from pathlib import Path

import pytest

import fsjax
from fsjax import distributed, experiment
from fsjax.evaluation.provenance import digest_of_code
from tests.runs import prnet_config


class AgreedError(Exception):
    """In place of all that follows."""


@pytest.fixture
def values(sources, tmp_path, monkeypatch):
    """What one of several processes compares with the others."""

    def agree(values):
        raise AgreedError(values)

    monkeypatch.setattr(distributed, "several", lambda: True)
    monkeypatch.setattr(distributed, "agree", agree)
    with pytest.raises(AgreedError) as raised:
        experiment.evaluate(prnet_config({"eval.rows": ("rgb",)}), sources, tmp_path)
    return raised.value.args[0]


def test_hosts_have_equally_many_devices_as_supports_are_told_in_rounds(values):
    assert values["the number of devices"] == 8


def test_parts_go_by_the_code_the_data_and_all_fields_that_count(values):
    assert values["the hash of the code"] == digest_of_code(Path(fsjax.__file__).parent)
    assert values["eval.batch_size"] == prnet_config().eval.batch_size
    assert {
        "fold",
        "eval.seed",
        "eval.size",
        "the data's version",
        "the hash of the weights",
    } <= values.keys()
    assert not {"eval.memory", "train.steps", "batch_size", "devices", "data.threads"} & values.keys()
