"""The episode: the one container that all rooms share.

In masks 0 is background, 1..N are the episode's classes in the order of its ways, and 255 is an
ignored pixel (a void boundary, or the fill of a rotation). Padding is not a label: an image occupies
the top-left rectangle of its array whose height and width `sizes` gives.
"""

from typing import Any, NamedTuple

IGNORED = 255
"""The value of a mask's pixel that takes no part in losses, prototypes or scores."""

Array = Any  # a NumPy array on the host, a jax.Array on a device


class Episode(NamedTuple):
    """One N-way K-shot task with T queries (PRNet 3.1).

    Support and query may differ in size, and so may a query and its mask. Batches put device and
    batch axes in front of every field. Where stored features of a frozen backbone are read, they stand
    in the photos' place: float16 [..., h, w, C] in cells, the sizes being the photos' in pixels still.
    """

    support_images: Array  # uint8 [N, K, Hs, Ws, 3], RGB
    support_masks: Array  # uint8 [N, K, Hs, Ws]
    support_sizes: Array  # int32 [N, K, 2], height and width in pixels
    query_images: Array  # uint8 [T, Hq, Wq, 3], RGB
    query_sizes: Array  # int32 [T, 2]
    query_masks: Array  # uint8 [T, Hm, Wm]
    query_mask_sizes: Array  # int32 [T, 2]
    class_ids: Array  # int32 [N], ids of the data set, counted from 1
    weight: Array  # float32 [], 1 for an episode, 0 for the filling of a spare slot
    index: Array  # int32 [], the episode's global index
