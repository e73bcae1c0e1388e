"""PRNet as its paper writes it: float64 NumPy, one full-resolution pixel after the other.

Everything is a list of images without padding; a class without a prototype is None.
"""

import math

import numpy as np


def upsample(image, height, width):
    """Bilinear, half-pixel centres, edges repeated, one line after the other: [h, w, c] to [H, W, c]."""

    def stretched(line, length):
        places = (np.arange(length) + 0.5) * len(line) / length - 0.5
        return np.interp(places, np.arange(len(line)), line)

    tall = np.apply_along_axis(stretched, 0, np.asarray(image, np.float64), height)
    return np.apply_along_axis(stretched, 1, tall, width)


def pool(features, selected):
    """MAP of Eq. 1: the mean of the selected pixels of the upsampled features."""
    full = upsample(features, *selected.shape)
    pixels = [full[y, x] for y, x in np.argwhere(selected)]
    return sum(pixels) / len(pixels) if pixels else None


def average(vectors):
    found = [vector for vector in vectors if vector is not None]
    return sum(found) / len(found) if found else None


def support_prototypes(features, masks):
    """Eq. 1 from features[n][k] and masks[n][k]: background, then the ways."""
    ways = range(len(features))
    shots = range(len(features[0]))
    background = average([pool(features[n][k], masks[n][k] == 0) for n in ways for k in shots])
    return [background] + [average([pool(features[n][k], masks[n][k] == n + 1) for k in shots]) for n in ways]


def cosine(a, b):
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def cosine_map(features, prototypes):
    """NaN where a class has no prototype."""
    features = np.asarray(features, np.float64)
    height, width, _ = features.shape
    result = np.full((height, width, len(prototypes)), np.nan)
    for y in range(height):
        for x in range(width):
            for n, prototype in enumerate(prototypes):
                if prototype is not None:
                    result[y, x, n] = cosine(features[y, x], prototype)
    return result


def predicted(similarities):
    """The argmax of Eq. 2."""
    return np.nanargmax(similarities, -1)


def query_prototypes(features, masks, classes):
    """Eq. 3 from cells' predicted classes (-1: none)."""

    def of_image(image, mask, n):
        cells = np.asarray(image, np.float64)[mask == n]
        return cells.mean(0) if len(cells) else None

    return [
        average([of_image(image, mask, n) for image, mask in zip(features, masks, strict=True)])
        for n in range(classes)
    ]


def cross_entropy(maps, labels, prototypes, scale):
    """The mean over all pixels that are not void and whose class has a prototype.

    prototypes[i] are those that image i was compared with.
    """
    entropies = []
    for similarities, label, found in zip(maps, labels, prototypes, strict=True):
        logits = upsample(scale * similarities, *label.shape)
        present = [n for n, prototype in enumerate(found) if prototype is not None]
        for y, x in np.ndindex(*label.shape):
            if label[y, x] in present:
                total = sum(math.exp(logits[y, x, n]) for n in present)
                entropies.append(math.log(total) - logits[y, x, label[y, x]])
    return sum(entropies) / len(entropies) if entropies else 0.0


def training_loss(supports, support_masks, queries, query_masks, scale):
    """The query and the support term of Eq. 5."""
    p_s = support_prototypes(supports, support_masks)
    m_q = [cosine_map(query, p_s) for query in queries]
    p_q = query_prototypes(queries, [predicted(m) for m in m_q], len(p_s))
    images = [image for way in supports for image in way]
    masks = [mask for way in support_masks for mask in way]
    m_s = [cosine_map(image, p_q) for image in images]
    return (
        cross_entropy(m_q, query_masks, [p_s] * len(m_q), scale),
        cross_entropy(m_s, masks, [p_q] * len(m_s), scale),
    )


def adaptation_loss(supports, masks, scale, leave_one_out=False):
    """Eq. 6; leaving one out, shot k is segmented by the other shots of all ways."""
    maps, labels, used = [], [], []
    for n in range(len(supports)):
        for k in range(len(supports[0])):
            kept = [j for j in range(len(supports[0])) if not (leave_one_out and j == k)]
            p_s = support_prototypes(
                [[way[j] for j in kept] for way in supports], [[way[j] for j in kept] for way in masks]
            )
            maps.append(cosine_map(supports[n][k], p_s))
            labels.append(masks[n][k])
            used.append(p_s)
    return cross_entropy(maps, labels, used, scale)


def hard_selection(similarities, mask, threshold_over="map"):
    """Eq. 8 with the threshold of Eqs. 13 and 14; -1 where nothing is selected."""
    selected = np.full(mask.shape, -1)
    for n in np.unique(mask):
        everywhere = threshold_over == "map"
        values = [similarities[y, x, n] for y, x in np.ndindex(*mask.shape) if everywhere or mask[y, x] == n]
        alpha = (max(values) + sum(values) / len(values)) / 2
        for y, x in np.argwhere(mask == n):
            if similarities[y, x, n] > alpha:
                selected[y, x] = n
    return selected


def mixed(old, new, weight_old, weight_new):
    """Eqs. 9 and 12; a class of which nothing was selected keeps its prototype."""
    return [
        a if a is None or b is None else weight_old * a + weight_new * b
        for a, b in zip(old, new, strict=True)
    ]


def fuse_together(queries, p_s, omega_s, omega_q, omega_f, second_mask, threshold_over):
    """Eqs. 7 to 12 with their mean over all queries: the maps of p_s, of p_f1 and of p_f2."""
    m_q1 = [cosine_map(query, p_s) for query in queries]
    sparse = [hard_selection(m, predicted(m), threshold_over) for m in m_q1]
    p_f1 = mixed(p_s, query_prototypes(queries, sparse, len(p_s)), omega_s, omega_q)
    m_q2 = [cosine_map(query, p_f1) for query in queries]
    m_q3 = [(first + second) / 2 for first, second in zip(m_q1, m_q2, strict=True)]
    masks = [predicted(m) for m in (m_q3 if second_mask == "m3" else m_q2)]
    sparse = [hard_selection(m, mask, threshold_over) for m, mask in zip(m_q3, masks, strict=True)]
    p_f2 = mixed(p_f1, query_prototypes(queries, sparse, len(p_s)), omega_f, omega_q)
    return m_q1, m_q2, [cosine_map(query, p_f2) for query in queries]


def fuse(
    queries,
    p_s,
    omega_s=0.5,
    omega_q=0.5,
    omega_f=0.5,
    second_mask="m3",
    threshold_over="map",
    joint=False,
):
    """The three stages' maps, each a list over queries."""
    weights = omega_s, omega_q, omega_f, second_mask, threshold_over
    if joint:
        return fuse_together(queries, p_s, *weights)
    alone = [fuse_together([query], p_s, *weights) for query in queries]
    return tuple([stages[stage][0] for stages in alone] for stage in range(3))


def sgd(gradient, value, steps, learning_rate, momentum):
    """The values after each step of stochastic gradient descent as PyTorch defines it."""
    velocity, values = np.zeros_like(value), []
    for _ in range(steps):
        velocity = momentum * velocity + gradient(value)
        value = value - learning_rate * velocity
        values.append(value)
    return values


def finite_differences(function, value, width=1e-5):
    """The gradient of a function of one float64 array, one entry after the other."""
    gradient = np.zeros_like(value)
    for place in np.ndindex(*value.shape):
        moved = [value.copy(), value.copy()]
        moved[0][place] += width
        moved[1][place] -= width
        gradient[place] = (function(moved[0]) - function(moved[1])) / (2 * width)
    return gradient
