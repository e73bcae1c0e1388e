"""Weights by short names: which repository of the hub has them, and under which licence."""

import re
from typing import NamedTuple

IMAGENET = "imagenet"
"""The word for a network's own ImageNet weights, before which no path of that name is looked for."""

APACHE, DINOV3 = "Apache-2.0 licence", "DINOv3 License"

_LICENCES = {"dinov2": APACHE, "dinov3": DINOV3}

SIDES = {"dinov2": 518, "dinov3": 512}
"""Of a photo, in pixels, by a network's family: whole patches; DINOv2's table of positions fits as it is."""


class Named(NamedTuple):
    """Weights that have a name.

    Attributes:
      repository: of the hub, owner/name, open to everybody.
      other: another one with the same weights: Meta's own, which is gated for DINOv3, or timm's.
      backbone: the network, as `model.backbone` names it.
      registers: whether that is to have `registers`.
    """

    repository: str
    other: str
    backbone: str
    registers: bool = False

    @property
    def licence(self) -> str:
        """Under which they are published."""
        return _LICENCES[self.backbone.partition("_")[0]]

    @property
    def side(self) -> int:
        """Of a photo, in pixels, that the network is used with."""
        return SIDES[self.backbone.partition("_")[0]]


def _dinov2(size: str, registers: bool) -> Named:
    """Returns Meta's own, which are open to everybody."""
    return Named(
        f"facebook/dinov2-{'with-registers-' if registers else ''}{size}",
        f"timm/vit_{size}_patch14_{'reg4_' if registers else ''}dinov2.lvd142m",
        f"dinov2_{size}",
        registers,
    )


def _dinov3(size: str, short: str) -> Named:
    """Returns timm's copies: Meta's own want a request that is granted to some."""
    return Named(
        f"timm/vit_{size}_patch16_dinov3.lvd1689m",
        f"facebook/dinov3-vit{short}-pretrain-lvd1689m",
        f"dinov3_{size}",
    )


NAMED = {
    **{f"dinov2-{size}": _dinov2(size, False) for size in ("small", "base", "large", "giant")},
    **{f"dinov2-{size}-registers": _dinov2(size, True) for size in ("small", "base", "large", "giant")},
    "dinov3-small": _dinov3("small", "s16"),
    "dinov3-small-plus": _dinov3("small_plus", "s16plus"),
    "dinov3-base": _dinov3("base", "b16"),
    "dinov3-large": _dinov3("large", "l16"),
    "dinov3-huge-plus": _dinov3("huge_plus", "h16plus"),
}
"""By the name that `model.weights` may have. None has a slash, so that none is taken for a repository."""


def names(backbone: str, *, registers: bool) -> tuple[str, ...]:
    """Returns the names of a network's published weights.

    Args:
      backbone: as `model.backbone` names it.
      registers: whether it has `registers`, where it may have them or not.

    >>> names("dinov2_base", registers=True)
    ('dinov2-base-registers',)
    """
    own = tuple(name for name, known in NAMED.items() if known.backbone == backbone)
    return tuple(name for name in own if NAMED[name].registers == registers) or own


def meant(text: str) -> str:
    """Returns the name of weights that a text is likely to mean, spelled as backbones are; "" for none.

    >>> meant("DINOv2_base"), meant("resnet50")
    ('dinov2-base', '')
    """
    name = text.lower().replace("_", "-")
    return name if name in NAMED else ""


def licence(repository: str) -> str:
    """Returns the licence of a repository's weights by its name, "" where that does not tell.

    >>> licence("timm/vit_base_patch16_dinov3.lvd1689m"), licence("timm/resnet50.tv_in1k")
    ('DINOv3 License', '')
    """
    family = re.search("dinov[23]", repository.lower())
    return _LICENCES[family[0]] if family else ""


def alternative(repository: str) -> str:
    """Returns what else has a repository's weights: a name of `NAMED`, or a repository; "" for none."""
    for name, known in NAMED.items():
        if repository == known.other:
            return name
        if repository == known.repository:
            return known.other
    return ""
