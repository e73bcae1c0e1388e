"""DPNet's head as its paper writes it: float64 NumPy, one image and one cell after the other.

Images are [h, w, c] without padding; the first channels are the shallow features'. Cells are (row, column).
"""

import math
from typing import NamedTuple

import numpy as np


class Pair(NamedTuple):
    """A way and a query: logits [h, w, 2], and for each shot what the cycle comparison finds."""

    master: np.ndarray
    aux: np.ndarray
    prototypes: list  # of each shot
    pseudo: list
    candidates: list  # of each shot, the cells of C
    selected: list  # the cells that the pseudo-prototype averages
    confidence: list  # {cell: h, 0 to 1}


def resize(image, height, width, aligned=True):
    """Bilinear, with the corners aligned or half-pixel centres, one output pixel after the other."""
    image = np.asarray(image, np.float64)
    rows, columns, channels = image.shape
    result = np.zeros((height, width, channels))
    for y in range(height):
        for x in range(width):
            for (i, j), share in shares(y, x, (rows, columns), (height, width), aligned).items():
                result[y, x] += share * image[i, j]
    return result


def shares(y, x, cells, pixels, aligned=True):
    """How a pixel divides between the up to four cells around it."""
    found = {}
    for i, down in neighbours(y, cells[0], pixels[0], aligned):
        for j, along in neighbours(x, cells[1], pixels[1], aligned):
            found[i, j] = found.get((i, j), 0.0) + down * along
    return found


def neighbours(index, in_length, out_length, aligned):
    if aligned:
        place = index * (in_length - 1) / (out_length - 1) if out_length > 1 else 0.0
    else:
        place = min(max((index + 0.5) * in_length / out_length - 0.5, 0.0), in_length - 1.0)
    low = math.floor(place)
    return [(low, 1 - (place - low)), (min(low + 1, in_length - 1), place - low)]


def dense(layer, vector):
    return vector @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)


def convolve(layer, image, dilation=1):
    """A convolution with zeros around the image, one tap after the other."""
    kernel = np.asarray(layer["kernel"], np.float64)
    height, width, _ = image.shape
    result = np.zeros((height, width, kernel.shape[3])) + np.asarray(layer["bias"], np.float64)
    middle = kernel.shape[0] // 2
    for y, x in np.ndindex(height, width):
        for a, b in np.ndindex(*kernel.shape[:2]):
            i, j = y + dilation * (a - middle), x + dilation * (b - middle)
            if 0 <= i < height and 0 <= j < width:
                result[y, x] += image[i, j] @ kernel[a, b]
    return result


def relu(x):
    return np.maximum(x, 0.0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def merged(params, features):
    """F: shallow and deep features after their ReLU, merged as CANet does."""
    return relu(convolve(params["merge"], relu(np.asarray(features, np.float64)), dilation=2))


def compared(features, shallow=3):
    """The deep features before their last ReLU."""
    return np.asarray(features, np.float64)[..., shallow:]


def soft_mask(selected, height, width, aligned=True):
    """The mask on the grid of the features; where sampling misses the object, its area, at most 1."""
    sampled = resize(selected[..., None], height, width, aligned)[..., 0]
    if sampled.any() or not selected.any():
        return sampled
    area = np.zeros((height, width))
    for y, x in np.argwhere(selected):
        for cell, share in shares(y, x, (height, width), selected.shape, aligned).items():
            area[cell] += share
    return area / area.max()


def foreground_cells(mask):
    found = {tuple(cell) for cell in np.argwhere(mask > 0.5)}
    if not found and mask.any():
        found = {np.unravel_index(np.argmax(mask), mask.shape)}
    return found


def cosine(a, b):
    return float(a @ b) / (math.sqrt(float(a @ a)) * math.sqrt(float(b @ b)))


def most_similar(vector, image):
    """The cell of Eq. 1 or Eq. 2."""
    cells = list(np.ndindex(*image.shape[:2]))
    similarities = [cosine(vector, image[cell]) for cell in cells]
    return cells[similarities.index(max(similarities))]


def cycles(support, query, foreground):
    """The query cells that forward matches lead to, and the confidence locations C."""
    forward, candidates = set(), set()
    for start in foreground:
        reached = most_similar(support[start], query)
        forward.add(reached)
        if most_similar(query[reached], support) in foreground:
            candidates.add(reached)
    return forward, candidates


def discriminator(params, feature, prototype):
    """Returns h of a cell."""
    hidden = relu(dense(params["hidden"], np.concatenate([feature, prototype])))
    return float(sigmoid(dense(params["output"], hidden))[0])


def interaction(params, prototype, pseudo):
    """Returns alpha W of Eq. 4 and Eq. 5."""
    x = dense(params["mix"], np.concatenate([prototype, pseudo]))
    normal = (x - x.mean()) / (math.sqrt(((x - x.mean()) ** 2).mean()) + 1e-5)
    weights = sigmoid(dense(params["expand"], relu(dense(params["reduce"], normal))))
    return float(params["alpha"]) * weights


def average_pool(image, stride):
    """Means of windows; those at the far edges are smaller."""
    height, width, channels = image.shape
    result = np.zeros((math.ceil(height / stride), math.ceil(width / stride), channels))
    for i, j in np.ndindex(*result.shape[:2]):
        window = image[i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
        result[i, j] = window.reshape(-1, channels).mean(0)
    return result


def multi_scale(params, image, prototype, coarse=True):
    """4.4: [features; prototype], tiled and convolved at three scales."""
    height, width, _ = image.shape
    total = 0.0
    for scale in (1, 2, 4) if coarse else (1,):
        small = image if scale == 1 else average_pool(image, scale)
        both = np.concatenate([small, np.broadcast_to(prototype, small.shape)], -1)
        fused = relu(dense(params[f"scale{scale}"], both))
        total = total + resize(fused, height, width)
    return total


def decode(params, image, rates):
    """CANet's ASPP without dropout."""

    def point(name, values):
        kernel = np.asarray(params[name]["kernel"], np.float64)[0, 0]
        return dense({"kernel": kernel, "bias": params[name]["bias"]}, values)

    mean = image.reshape(-1, image.shape[-1]).mean(0)
    outputs = [np.broadcast_to(relu(point("pool", mean)), (*image.shape[:2], len(params["pool"]["bias"])))]
    outputs.append(relu(point("point", image)))
    outputs += [relu(convolve(params[f"dilated{rate}"], image, rate)) for rate in rates]
    return point("classify", relu(point("project", np.concatenate(outputs, -1))))


def segment_pair(
    params, supports, masks, query, *, rates, shallow=3, kind="ccm", beta=0.5, pim=True, msf=True
):
    """One way and one query, from the extractor's features of K supports and their binary masks."""
    image = merged(params, query)
    prototypes, pseudo, candidates, selected, confidence = [], [], [], [], []
    for support, mask in zip(supports, masks, strict=True):
        features = merged(params, support)
        soft = soft_mask(mask, *features.shape[:2])
        prototype = sum(soft[cell] * features[cell] for cell in np.ndindex(*soft.shape)) / (soft.sum() + 5e-4)
        forward, cycle = cycles(compared(support, shallow), compared(query, shallow), foreground_cells(soft))
        judged = {
            cell: discriminator(params["discriminator"], image[cell], prototype)
            for cell in np.ndindex(*image.shape[:2])
        }
        chosen = {
            "off": set(),
            "global": set(judged),
            "cosine": forward,
            "ccm": {cell for cell in cycle if judged[cell] > beta},
        }[kind]
        prototypes.append(prototype)
        pseudo.append(sum(image[cell] for cell in chosen) / len(chosen) if chosen else prototype)  # Eq. 3
        candidates.append(cycle)
        selected.append(chosen)
        confidence.append(judged)
    p, p_q = (sum(vectors) / len(vectors) for vectors in (prototypes, pseudo))
    factor = 1 + interaction(params["interaction"], p, p_q) if pim else np.ones_like(p)
    recalibrated = factor * image  # Eq. 8
    by_prototype, by_pseudo = (
        multi_scale(params["fusion"], recalibrated, factor * vector, msf) for vector in (p, p_q)
    )
    master = decode(params["decoder"], np.concatenate([by_prototype, by_pseudo], -1), rates)
    aux = decode(params["aux_decoder"], by_prototype, rates)
    return Pair(master, aux, prototypes, pseudo, candidates, selected, confidence)


def segment_all(params, task, **options):
    """Every way with every query of a task: [n][t]."""
    return [
        [
            segment_pair(params, supports, [mask == n for mask in masks], query, **options)
            for query in task.query_list
        ]
        for n, (supports, masks) in enumerate(zip(task.support_list, task.support_masks, strict=True), 1)
    ]


def cross_entropy(maps, truths):
    """Eq. 9 over all pixels of all pairs but the void ones."""
    entropies = []
    for logits, truth in zip(maps, truths, strict=True):
        full = resize(logits, *truth.shape)
        for y, x in np.argwhere(truth != 255):
            label = int(truth[y, x])
            entropies.append(math.log(sum(math.exp(value) for value in full[y, x])) - full[y, x, label])
    return sum(entropies) / len(entropies) if entropies else 0.0


def label_of(truth, cell, cells):
    """y_j of Eq. 10: the label of the pixel under a cell's centre."""
    return truth[
        tuple(
            round(index * (pixels - 1) / (count - 1)) if count > 1 else 0
            for index, pixels, count in zip(cell, truth.shape, cells, strict=True)
        )
    ]


def discriminator_loss(confidence, judged, truth, cells):
    """Eq. 10 of one shot, without the cells whose label is void."""
    entropies = []
    for cell in judged:
        label = label_of(truth, cell, cells)
        if label != 255:
            entropies.append(-math.log(confidence[cell] if label == 1 else 1 - confidence[cell]))
    return sum(entropies) / len(entropies) if entropies else 0.0


def losses(params, task, *, judge="candidates", **options):
    """L_seg, L_aux and L_dis of a task; the ways are binary problems of their own."""
    found = segment_all(params, task, **options)
    pairs, truths = [], []
    for n, way in enumerate(found, 1):
        for pair, mask in zip(way, task.query_masks, strict=True):
            pairs.append(pair)
            truths.append(np.where(mask == 255, 255, mask == n))
    of_shots = [
        discriminator_loss(confidence, judged, truth, pair.master.shape[:2])
        for pair, truth in zip(pairs, truths, strict=True)
        for confidence, judged in zip(pair.confidence, getattr(pair, judge), strict=True)
    ]
    return {
        "seg_loss": cross_entropy([pair.master for pair in pairs], truths),
        "aux_loss": cross_entropy([pair.aux for pair in pairs], truths),
        "dis_loss": sum(of_shots) / len(of_shots) if options.get("kind", "ccm") == "ccm" else 0.0,
    }


def log_probabilities(params, task, branch, shapes, **options):
    """Of every pixel of every query, [H, W, N + 1]; background is whatever the best way leaves."""
    found = segment_all(params, task, **options)
    results = []
    for t, (height, width) in enumerate(shapes):
        logits = [resize(getattr(way[t], branch), height, width) for way in found]
        foreground = [sigmoid(one[..., 1] - one[..., 0]) for one in logits]
        background = 1 - np.max(foreground, 0)
        results.append(np.log(np.stack([background, *foreground], -1)))
    return results
