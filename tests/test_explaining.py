"""How a method says how it came to its answer: by what it segments by."""

from dataclasses import replace

import numpy as np

from fsjax.models.baselines.color_histogram import ColorHistogram
from tests.models.prnet import reference
from tests.segmenter.photos import DPNET, JOINT, PRNET, photo


def test_every_method_explains_itself_and_a_baseline_does_not():
    image, mask = photo(0, 40, 50)
    query, _ = photo(1, 60, 33)
    found = DPNET.fit([image], [mask]).explain(query)
    assert found.support_cells.tolist() == found.query_cells.tolist() == [5, 5]
    assert found.foreground.any()
    assert found.aligned
    histogram = replace(PRNET, method=ColorHistogram())
    assert histogram.fit([image], [mask]).explain(query) is None


def test_what_fusion_explains_is_what_it_segments_by():
    (image, mask), (query, _), (other, _) = photo(0, 40, 50), photo(1, 60, 33), photo(2, 33, 40)
    for segmenter, others in ((PRNET, []), (PRNET, [other]), (JOINT, []), (JOINT, [other])):
        fitted = segmenter.fit([image], [mask])
        found = fitted.explain(query, others)
        logits = fitted.logits([query, *(others if segmenter is JOINT else [])])[0]
        rows, columns = found.query_cells
        for output, similarities in (
            ("fusion0", found.m_q1),
            ("fusion1", found.m_q2),
            ("fusion2", found.final),
        ):
            expected = 20 * reference.upsample(similarities[:rows, :columns].astype(float), 60, 33)
            np.testing.assert_allclose(logits[output], expected, atol=1e-4)
    apart = JOINT.fit([image], [mask])
    assert np.abs(apart.explain(query, [other]).final - apart.explain(query).final).max() > 1e-4
