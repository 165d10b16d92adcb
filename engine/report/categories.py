"""Kinds of compounds that the candidates are counted by (Jha 2020, table 3.3)."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from pymatgen.core import Element

from matscreen.engine import schema

_Z = range(1, 119)
METALS = frozenset(z for z in _Z if Element.from_Z(z).is_metal)
THREE_D = frozenset(range(21, 31))
F_BLOCK = frozenset(z for z in _Z if Element.from_Z(z).is_lanthanoid or Element.from_Z(z).is_actinoid)
CHALCOGENS, HALOGENS = frozenset((8, 16, 34, 52)), frozenset((9, 17, 35, 53))

CATEGORIES = {
    "with Li, Na or K": "holds one of them",
    "chalco- and oxyhalides": "holds O, S, Se or Te, and F, Cl, Br or I",
    "metal oxides": "O, else metals",
    "3d metal oxides": "O, else 3d metals (Sc to Zn)",
    "intermetallics": "metals alone",
    "3d intermetallics": "3d metals alone",
}
"""Each category and what it takes; lanthanides and actinides are in none, as in the thesis."""

BEST = 2
"""Examples of each category and number of elements; of one chemical system only the best."""


@dataclass
class Counts:
    """Chemical systems with a candidate, and the best candidates, by category and number of elements."""

    systems: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    best: dict[tuple[str, int], dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def count(self, candidates: pa.Table) -> None:
        """More candidates, none better than those before."""
        elements, _ = schema.candidate_arrays(candidates)
        names, arity = candidates["chemical_system"].combine_chunks(), np.count_nonzero(elements, axis=1)
        for category, member in membership(elements).items():
            for k in np.unique(arity[member]).tolist():
                rows = np.flatnonzero(member & (arity == k))
                self.systems[category, k].update(names.take(pa.array(rows)).unique().to_pylist())
                best = self.best[category, k]
                for row in rows.tolist():
                    if len(best) == BEST:
                        break
                    best.setdefault(names[row].as_py(), candidates["formula"][row].as_py())

    def rows(self) -> list[dict[str, Any]]:
        """[{category, what, arity: {k: {systems, best}}}] in the order of `CATEGORIES`."""
        return [
            {
                "category": category,
                "what": what,
                "arity": {
                    k: {"systems": len(found), "best": list(self.best[category, k].values())}
                    for (name, k), found in sorted(self.systems.items())
                    if name == category
                },
            }
            for category, what in CATEGORIES.items()
        ]


def membership(elements: np.ndarray) -> dict[str, np.ndarray]:
    """{category: (N,) bool} for compositions of these elements, (N, K) uint8 with 0 in empty places."""

    def any_of(these: frozenset[int]) -> np.ndarray:
        return np.asarray(np.isin(elements, list(these)).any(axis=1))

    def all_of(these: frozenset[int]) -> np.ndarray:
        return np.asarray(np.isin(elements, [0, *these]).all(axis=1))

    common = ~any_of(F_BLOCK)
    oxide = any_of(frozenset((8,)))
    found = (
        any_of(frozenset((3, 11, 19))),
        any_of(CHALCOGENS) & any_of(HALOGENS),
        oxide & all_of(METALS | {8}),
        oxide & all_of(THREE_D | {8}),
        all_of(METALS),
        all_of(THREE_D),
    )
    return {category: common & member for category, member in zip(CATEGORIES, found, strict=True)}
