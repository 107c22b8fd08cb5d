"""The paper's 131 architectures, and what they are called in timm today.

Neither torch nor timm is needed here: what is known of the 131 is in `architectures.csv`, which a test checks against
timm.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

from lightning_pepr.paper import read_table

Kind = Literal["CNN", "Other"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The kinds that the paper knows."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """One of the paper's architectures, by the paper's name and by today's in timm.

    Attributes:
        efficient: Whether the paper counts it among those that were designed to be efficient.
        params: Trainable parameters with 1000 classes and 3 channels.
        image_size: The smallest multiple of 32 that it accepts as the side of an image, in pixels.
        step: From there on, it accepts multiples of this.
        mmacs: Multiply-accumulates of a forward pass over one image of `image_size`, in millions.
    """

    name: str
    timm: str
    kind: Kind
    efficient: bool
    params: int
    image_size: int
    step: int
    mmacs: float

    def accepts(self, image_size: int) -> bool | None:
        """Whether it takes images of this size; None if that has to be tried: only multiples of 32 to 256 have been."""
        if image_size % 32 or image_size > 256:
            return None
        return image_size >= self.image_size and image_size % self.step == 0

    def mmacs_at(self, image_size: int) -> float:
        """Multiply-accumulates at another size, in millions: they grow with the number of pixels, nearly."""
        return self.mmacs * (image_size / self.image_size) ** 2


@functools.cache
def architectures() -> dict[str, Architecture]:
    """The paper's 131 architectures by name, from the fewest to the most parameters.

    Source:
        Selvan et al., PePR, NLDL 2025 (arXiv 2403.12562), and its repository: names, parameters, kind, efficient.

    >>> len(architectures()), architectures()["gluon_xception65"].timm
    (131, 'xception65')
    """
    found = [
        msgspec.convert({**row, "kind": row["type"]}, Architecture, strict=False)
        for row in read_table("architectures.csv")
    ]
    return {each.name: each for each in sorted(found, key=lambda each: (each.params, each.name))}


def timm_name(name: str) -> str:
    """Today's name in timm of one of the paper's architectures; any other name stays as it is.

    >>> timm_name("gluon_resnet34_v1b"), timm_name("vit_tiny_patch16_224")
    ('resnet34.gluon_in1k', 'vit_tiny_patch16_224')
    """
    known = architectures().get(name)
    return known.timm if known else name
