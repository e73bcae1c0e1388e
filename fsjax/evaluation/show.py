"""Single episodes with everything that a method makes of them, for pictures."""

from collections.abc import Iterator, Sequence

from fsjax.data.images import InputSettings, stored_mask
from fsjax.data.sampling import EpisodeSpec
from fsjax.data.source import Source
from fsjax.evaluation.pictures.shown import Shown
from fsjax.segmenter import Segmenter


def show(
    segmenter: Segmenter, source: Source, specs: Sequence[EpisodeSpec], settings: InputSettings
) -> Iterator[Shown]:
    """Yields episodes with the first support of each way and the first query, at the photos' own sizes.

    Args:
      segmenter: what segments them.
      source: the photos.
      specs: the episodes.
      settings: the protocol's, for void pixels of supports.
    """
    for spec in specs:
        supports = [(n, position) for n, way in enumerate(spec.support, 1) for position in way]
        images = [source.image(position) for _, position in supports]
        masks = [stored_mask(source, position, spec.shown, n, settings) for n, position in supports]
        ways = [n for n, _ in supports]
        fitted = segmenter.fit(images, masks, ways)
        together = spec.query if segmenter.joint else spec.query[:1]
        queries = [source.image(position) for position in together]
        firsts = [ways.index(n) for n in range(1, len(spec.support) + 1)]
        yield Shown(
            classes=tuple(source.class_names[class_id - 1] for class_id in spec.class_ids),
            supports=[(images[first], masks[first]) for first in firsts],
            query=queries[0],
            truth=stored_mask(source, spec.query[0], spec.class_ids, None, settings),
            logits=fitted.logits(queries)[0],
            explanation=fitted.explain(queries[0], queries[1:]),
        )
