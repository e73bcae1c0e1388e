"""A method with its variables as one value that anybody can call, with photos in and masks out.

fitted = Segmenter.load("runs/prnet_shapes_fold0").fit("photo.jpg", "mask.png")
fitted.segment("another_photo.jpg").mask

>>> import numpy as np
>>> from fsjax.data.images import InputSettings
>>> from fsjax.models.backbones.filters import RawRGB
>>> from fsjax.models.backbones.hand_made import HandMade
>>> from fsjax.models.prnet.fusion import FusionSettings
>>> from fsjax.models.prnet.prnet import PRNet
>>> method, nothing = PRNet(HandMade(RawRGB())), {"backbone": {"params": {}}, "head": {}}
>>> segmenter = Segmenter(method, nothing, FusionSettings(), InputSettings(size=32))

>>> photo = np.zeros((32, 48, 3), np.uint8)
>>> photo[8:24, 8:24] = 255, 0, 0
>>> found = segmenter.fit(photo, photo[..., 0] > 0).segment(photo[:, ::-1])
>>> found.mask[::8, ::4]
array([[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
       [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0],
       [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0],
       [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]], dtype=uint8)

Is it there at all? A red thing is, a blue one is not.

>>> blue = segmenter.fit(photo, photo[..., 0] > 0).segment(photo[..., ::-1])
>>> found.presence.round(1).tolist(), blue.presence.round(1).tolist()
([1.0], [0.0])

Which support misleads? The last one, whose mask is inside out.

>>> photos = [photo, photo[:, ::-1], photo[::-1], photo]
>>> masks = [photo[..., 0] > 0 for photo in photos]
>>> masks[-1] = ~masks[-1]
>>> leave_one_out(segmenter.fit(photos, masks))[:, 0].round(1).tolist()
[0.9, 0.9, 0.9, 0.0]
"""

from fsjax.segmenter.left_out import leave_one_out
from fsjax.segmenter.segmentation import Segmentation
from fsjax.segmenter.segmenter import Fitted, Segmenter

__all__ = ["Fitted", "Segmentation", "Segmenter", "leave_one_out"]
