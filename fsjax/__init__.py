"""Few-shot semantic segmentation in JAX: a few photos with masks to the masks of any other photos.

fitted = fsjax.Segmenter.load("runs/prnet_shapes_fold0").fit([photo], [mask])
fitted.segment(another_photo).mask
"""

from typing import TYPE_CHECKING, Any

from fsjax.errors import InputError

if TYPE_CHECKING:
    from fsjax.segmenter import Segmenter

__all__ = ["InputError", "Segmenter", "__version__"]

__version__ = "0.8.0"


def __getattr__(name: str) -> Any:
    """Imports the segmenter, and JAX with it, when it is first asked for."""
    if name == "Segmenter":
        from fsjax.segmenter import Segmenter

        return Segmenter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
