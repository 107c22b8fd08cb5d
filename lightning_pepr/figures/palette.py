"""The colours of print and page: for the colour-blind too, and seen against their background by everybody.

Plain text, so that a style sheet, the page's plotting library and matplotlib can all use them. Wherever a colour means
something, a marker or a word says it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from lightning_pepr.paper.architectures import KINDS


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours that go together, as "#RRGGBB".

    Attributes:
        background: Of the picture.
        ink: Of text, axes and the edges of dots.
        faint: Of notes.
        line: Of contours and grids, which only have to be there.
        bands: Between the contours, from the lowest score to the highest.
        series: Of categories and runs, in this order. Each differs from the background and from the others under
            protanopia, deuteranopia and tritanopia.
        model: A model that is not marked.
        best: The best by performance.
        pick: The best by PePR.
    """

    background: str
    ink: str
    faint: str
    line: str
    bands: tuple[str, str]
    series: tuple[str, ...]
    model: str
    best: str
    pick: str


# The first two of each, and the marked models, are Okabe and Ito's; the others are those farthest from what is there.
LIGHT = Theme(
    background="#FFFFFF",
    ink="#222222",
    faint="#586470",
    line="#B4C1CC",
    bands=("#FFFFFF", "#DCE6EE"),
    series=("#0072B2", "#D55E00", "#8A2BE2", "#402A23", "#B77965", "#141487"),
    model="#56B4E9",
    best="#E69F00",
    pick="#009E73",
)
DARK = replace(
    LIGHT,
    background="#14191F",
    ink="#E8ECF0",
    faint="#9AA7B3",
    line="#46525E",
    bands=("#14191F", "#27333F"),
    series=("#56B4E9", "#E69F00", "#9B4DFF", "#FFE28C", "#E72354", "#9F588D"),
    pick="#19B589",
)

MARKERS = ("o", "s", "^", "D", "v", "P")  # matplotlib's, of categories in the order of `Theme.series`
STAGES = ("train", "validate", "other", "metering", "test")  # of a run, in the order of `Theme.series`


def order_categories(values: Iterable[str], first: Iterable[str] = KINDS) -> list[str]:
    """The categories that there are, each once: the paper's kinds of model first, then the others by name.

    Their place is that of their colour in `Theme.series` and marker in `MARKERS`; after the last these begin anew.

    >>> order_categories(["Transformer", "Other", "CNN", "Other"])
    ['CNN', 'Other', 'Transformer']
    """
    known = [*first]
    return sorted(set(values), key=lambda name: (known.index(name) if name in known else len(known), name))
