"""benchmarks/scaling.py: what a compiled step sends, and its tables."""

import re

import pytest

from benchmarks import scaling
from benchmarks.collectives import Collective, collectives

TEXT = """
  %psum.2 = f32[] all-reduce(%bitcast), channel_id=1, replica_groups={{0,1}}, to_apply=%region
  %all-reduce.4 = (f32[1024]{0}, bf16[1,1,8,4]{3,2,1,0}, /*index=2*/pred[3]{0}) all-reduce(%a, %b, %c)
  %start = (s32[5]{0}, s32[5]{0}) all-reduce-start(%d, %e), channel_id=3
  %done = (s32[5]{0}, s32[5]{0}) all-reduce-done(%start)
  %get = f32[1024]{0} get-tuple-element(%all-reduce.4), index=0
  %moved = f32[2,3]{1,0} collective-permute(%f), source_target_pairs={{0,1}}
"""


def test_what_is_sent_is_read_from_a_program():
    assert collectives(TEXT) == [
        Collective("all-reduce", 1, 4),
        Collective("all-reduce", 3, 4096 + 64 + 3),
        Collective("all-reduce", 2, 40),
        Collective("collective-permute", 1, 24),
    ]


@pytest.mark.slow
def test_the_quick_form_sends_the_same_to_any_number_of_devices(capsys):
    scaling.main(["--quick"])
    said = capsys.readouterr().out
    rows = re.findall(r"^\| ([248]) \| (\d+) \| (\d+) \| ([\d,]+) \|$", said, re.MULTILINE)
    assert [row[0] for row in rows] == ["2", "4", "8"]
    (calls, _, size) = rows[0][1:]
    assert {row[1:] for row in rows} == {rows[0][1:]}
    assert int(calls) <= 3
    # A ResNet's stem and first stage: kernels, and a scale and a bias for each of their channels.
    kernels = (
        7 * 7 * 3 * 64 + (64 * 64 + 9 * 64 * 64 + 2 * 64 * 256) + 2 * (256 * 64 + 9 * 64 * 64 + 64 * 256)
    )
    channels = 64 + (64 + 64 + 256 + 256) + 2 * (64 + 64 + 256)
    # Two norms are added to one another, so that their biases have one gradient, which is sent once. Beside
    # the gradients go the loss, its two terms, and the sum of the episodes' weights.
    assert int(size.replace(",", "")) == 4 * (kernels + 2 * channels - 256 + 3 + 1)
    assert "at 40% of the peak" in said


def test_times_by_hand():
    chip = scaling.Chip("chip", peak=1e12, memory=1e9, near=1e9, far=1e8, group=8, cores=10)
    (case,) = scaling.cases(quick=True)
    step = scaling.Step(case, scaling.Costs(2e9, 0, 0, 0), [Collective("all-reduce", 1, 4_000_000)])
    near, far = (scaling.times(step, chip, chips, 0.5) for chips in (8, 16))
    assert near.compute == far.compute == pytest.approx(0.004)
    assert near.send == pytest.approx(2 * 7 / 8 * 0.004)
    assert far.send == pytest.approx(2 * 15 / 16 * 0.04)
    assert near.load == pytest.approx(2 * scaling.PHOTO_MS / 1000 / 10)
    assert (near.wall, far.wall) == ("links", "links")
