"""Extractions counted on the devices, apart from what fsjax says of them."""

from collections import Counter
from dataclasses import fields

import jax
import numpy as np

from fsjax.data.images import load_photo
from tests.evaluation.episodes import Toy


class Read(Toy):
    """A source that counts how often each photo is decoded."""

    def __init__(self):
        super().__init__()
        self.images = Counter()

    def image(self, position):
        self.images[position] += 1
        return super().image(position)


def spied(backbone):
    """Returns the backbone, and a list of all images that its `embed` will have seen on any device."""
    seen = []

    def note(images):
        seen.extend(np.array(image) for image in images)

    class Spied(type(backbone)):
        def embed(self, variables, images, sizes):
            jax.debug.callback(note, images)
            return super().embed(variables, images, sizes)

    return Spied(**{field.name: getattr(backbone, field.name) for field in fields(backbone)}), seen


def seen_photos(seen, photos):
    """How often each photo was seen at its own scale, the filling of batches included."""
    jax.effects_barrier()
    loaded = (load_photo(photos.source, p, photos.settings)[0] for p in range(len(photos.source.ids)))
    positions = {image.tobytes(): position for position, image in enumerate(loaded)}
    return Counter(positions[image.tobytes()] for image in seen)


def in_full_batches(count, slots):
    """How many places so many photos take up in batches."""
    return -(-count // slots) * slots


def support_photos(specs):
    return {position for spec in specs for way in spec.support for position in way}


def query_photos(specs):
    return {position for spec in specs for position in spec.query}


def once(positions, role, *factors):
    """The extractions of each photo once at each scale."""
    return Counter((position, role, factor) for position in positions for factor in factors or (1.0,))
