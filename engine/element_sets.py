"""Sets of elements as people name them: `Li-Fe-P-O`, `3d metals, O, F`, `all`."""

import re
from collections.abc import Iterable

from matscreen.models.elements import ELEMNET_ELEMENTS, SYMBOLS
from matscreen.models.errors import InputError
from matscreen.models.formula import element

GROUPS: dict[str, tuple[int, ...]] = {
    "all": ELEMNET_ELEMENTS,
    "alkali metals": (3, 11, 19, 37, 55),
    "alkaline earths": (4, 12, 20, 38, 56),
    "3d metals": tuple(range(21, 31)),
    "4d metals": tuple(range(39, 49)),
    "5d metals": tuple(range(72, 81)),
    "transition metals": (*range(21, 31), *range(39, 49), *range(72, 81)),
    "lanthanides": tuple(range(57, 72)),
    "rare earths": (21, 39, *range(57, 72)),
    "actinides": tuple(range(89, 95)),
    "pnictogens": (7, 15, 33, 51, 83),
    "chalcogens": (8, 16, 34, 52),
    "halogens": (9, 17, 35, 53),
}
"""Named sets, as atomic numbers; only elements that ElemNet knows."""


def parse_elements(text: str | Iterable[str]) -> tuple[int, ...]:
    """Atomic numbers, rising and each once, of symbols and group names separated by `-` or `,` (or given as a list).

    >>> parse_elements("Li-Fe-P-O")
    (3, 8, 15, 26)

    Raises
    ------
    InputError
        Empty, or a name that is neither an element nor a group.
    """
    separator = r"\s*[-,]\s*|\s+(?!metals|earths)"
    names = re.split(separator, text.strip(), flags=re.IGNORECASE) if isinstance(text, str) else list(text)
    found: set[int] = set()
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"no element between separators in {text!r}; write for example Li-Fe-P-O")
        key = " ".join(name.split())
        group = GROUPS.get(key.lower()) if len(key) > 2 else None
        if group is None and len(key) > 3:
            raise InputError(f"{key!r} is neither an element nor one of the groups {', '.join(GROUPS)}")
        found.update(group or (element(key),))
    return tuple(sorted(found))


def format_elements(elements: Iterable[int]) -> str:
    """Symbols joined by hyphens, in the order given: `Li-O-P-Fe`."""
    return "-".join(SYMBOLS[z] for z in elements)
