"""FSSDINO as its equations say: float64 NumPy, one cell, one prototype and one pixel after the other.

Everything is a list of images without padding.
"""

import math

import numpy as np

from tests.models.prnet.reference import cosine, upsample


def labels_of_cells(mask, rows, columns):
    """Cell (i, j) is the pixel (floor(i H / h), floor(j W / w))."""
    height, width = mask.shape
    found = np.empty((rows, columns), mask.dtype)
    for i in range(rows):
        for j in range(columns):
            found[i, j] = mask[math.floor(i * height / rows), math.floor(j * width / columns)]
    return found


def cells_of_classes(features, masks):
    """The cells of background and of each way, from features[n][k] and masks[n][k], shot after shot."""
    found = [[] for _ in range(len(features) + 1)]
    for n, way in enumerate(features, 1):
        for image, mask in zip(way, masks[n - 1], strict=True):
            labels = labels_of_cells(mask, *image.shape[:2])
            for place in np.ndindex(*labels.shape):
                if labels[place] in (0, n):
                    found[n if labels[place] else 0].append(image[place].astype(np.float64))
    return found


def k_means(cells, first, iterations=1000):
    """Prototypes that begin with the cells of these numbers; none of their clusters may become empty."""
    if len(cells) < len(first):
        return list(cells)
    centres = [cells[number] for number in first]
    for _ in range(iterations):
        clusters = [[] for _ in centres]
        for cell in cells:
            clusters[int(np.argmax([cosine(cell, centre) for centre in centres]))].append(cell)
        assert all(clusters), "another seed is needed"
        moved = [sum(cluster) / len(cluster) for cluster in clusters]
        shift = sum(np.linalg.norm(new - old) for new, old in zip(moved, centres, strict=True))
        centres = moved
        if shift**2 < 1e-4:
            break
    return centres


def gram_map(query, cells, weights=None):
    """f^T G f with the matrix G of channels by channels, stretched from 0 to 1 over the query."""
    weights = np.ones(len(cells)) if weights is None else weights
    gram = sum(
        weight * np.outer(cell, cell) / (cell @ cell) for weight, cell in zip(weights, cells, strict=True)
    )
    gram = gram / sum(weights)
    energy = np.empty(query.shape[:2])
    for place in np.ndindex(*energy.shape):
        energy[place] = query[place].astype(np.float64) @ gram @ query[place].astype(np.float64)
    return (energy - energy.min()) / (energy.max() - energy.min() + 1e-8)


def score(maps, height, width):
    """The largest of the enlarged maps times their mean."""
    full = [upsample(one[..., None], height, width)[..., 0] for one in maps]
    result = np.empty((height, width))
    for place in np.ndindex(height, width):
        values = [one[place] for one in full]
        result[place] = max(values) * sum(values) / len(values)
    return result


def segment(query, cells, prototypes, height, width):
    """Scores of every pixel by the prototypes, and with the Gram map; None of a class without cells."""
    plain, final = [], []
    for of_class, centres in zip(cells, prototypes, strict=True):
        if not of_class:
            plain.append(None)
            final.append(None)
            continue
        maps = []
        for centre in centres:
            maps.append(np.empty(query.shape[:2]))
            for place in np.ndindex(*query.shape[:2]):
                maps[-1][place] = cosine(query[place].astype(np.float64), centre)
        plain.append(score(maps, height, width))
        final.append(score([*maps, gram_map(query, of_class)], height, width))
    return plain, final
