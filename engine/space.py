"""Composition space as an array: every reduced composition has a number, and nothing is stored."""

import math
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from matscreen.engine import schema
from matscreen.engine.element_sets import format_elements, parse_elements
from matscreen.kernels import enumeration
from matscreen.models.elements import SYMBOLS
from matscreen.models.errors import InputError
from matscreen.models.formula import format_formula, parse_formula, reduced

MAX_RATIOS = 500_000
"""Most ratios (reduced or not) of one chemical system; they are kept in a table."""


@dataclass(frozen=True)
class Block:
    """All compositions of one arity: ids `start` to `stop`, in the order of `kernels.enumeration`."""

    arity: int
    start: int
    stop: int
    ratios: np.ndarray

    @property
    def systems(self) -> int:
        """Number of chemical systems."""
        return (self.stop - self.start) // len(self.ratios)


class CompositionSpace:
    """All compositions A_w B_x C_y … of given elements with w + x + y + … <= max_atoms and no common divisor.

    Ids run arity by arity, chemical system by chemical system, all ratios of a system together. The id of a composition
    depends only on the arguments here and never changes between versions.

    Parameters
    ----------
    elements : symbols or group names, `"Li-Fe-P-O"`, `"3d metals, O"`, `"all"`, or a list of them
    arity : numbers of elements in a composition
    max_atoms : most atoms in a formula unit
    require : elements that every composition holds
    exclude : elements to leave out

    Raises
    ------
    InputError
        Unknown elements, options that contradict each other, or a space of 2⁶³ compositions or more.

    >>> space = CompositionSpace("Li-Fe-P-O")
    >>> len(space), space[500], space.index("LiFePO4")
    (827, 'Li5Fe3P2', 686)
    """

    def __init__(
        self,
        elements: str | Iterable[str],
        arity: int | Iterable[int] = (2, 3, 4),
        max_atoms: int = 10,
        require: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
    ) -> None:
        given = set(parse_elements(elements))
        needed = set(parse_elements(require)) if require else set()
        left_out = set(parse_elements(exclude)) if exclude else set()
        for what, these in (("required", needed - given), ("excluded", left_out - given)):
            if these:
                raise InputError(f"{what} but not among the elements: {format_elements(sorted(these))}")
        if needed & left_out:
            raise InputError(f"both required and excluded: {format_elements(sorted(needed & left_out))}")
        self.elements: tuple[int, ...] = tuple(sorted(given - left_out))
        self.require: tuple[int, ...] = tuple(sorted(needed))
        try:
            numbers = arity if isinstance(arity, Iterable) else (arity,)
            self.arity: tuple[int, ...] = tuple(sorted({operator.index(n) for n in numbers}))
            self.max_atoms = max_atoms = operator.index(max_atoms)
        except TypeError:
            raise InputError(f"arity and max_atoms must be whole numbers, not {arity} and {max_atoms}") from None
        if not self.arity or self.arity[0] < 1 or self.arity[-1] > 10:
            raise InputError(f"arity must be one or more numbers from 1 to 10, not {', '.join(map(str, self.arity))}")
        if not self.arity[-1] <= max_atoms <= 100:
            raise InputError(
                f"max_atoms must lie between the largest arity, {self.arity[-1]}, and 100, not {max_atoms}"
            )
        if math.comb(max_atoms, self.arity[-1]) > MAX_RATIOS:
            raise InputError(
                f"{self.arity[-1]} elements in up to {max_atoms} atoms have too many ratios; lower max_atoms"
            )
        self._free = np.array(sorted(set(self.elements) - needed), np.uint8)
        self._required = np.array(self.require, np.uint8)
        self.blocks: tuple[Block, ...] = tuple(self._blocks())
        if self.blocks[-1].stop >= 2**63:
            raise InputError(f"a space of {self.blocks[-1].stop:.3g} compositions has no 64-bit ids; narrow it")
        if self.blocks[-1].stop == 0:
            raise InputError("the space is empty: no composition has so few elements, given those required")

    def _blocks(self) -> Iterator[Block]:
        start = 0
        for arity in self.arity:
            ratios = enumeration.ratio_table(arity, self.max_atoms)
            stop = start + enumeration.block_size(len(self._free), len(self._required), arity, len(ratios))
            yield Block(arity, start, stop, ratios)
            start = stop

    def __len__(self) -> int:
        return self.blocks[-1].stop

    def __repr__(self) -> str:
        arities = "/".join(map(str, self.arity))
        return f"CompositionSpace({len(self):,} compositions of {len(self.elements)} elements, arity {arities})"

    def __getitem__(self, key: int | slice) -> Any:
        """Formula of composition `key`, or the chunk of a slice (step 1). IndexError outside the space."""
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                raise IndexError("a space can only be sliced with step 1")
            return self.chunk(start, max(start, stop))
        number = key + len(self) if key < 0 else key
        if not 0 <= number < len(self):
            raise IndexError(f"id {key} is outside a space of {len(self)} compositions")
        elements, amounts = self._arrays(number, number + 1)
        return format_formula(elements[0].tolist(), amounts[0].tolist())

    def index(self, composition: str) -> int:
        """Id of a formula (any multiple of its reduced form); KeyError if the space does not hold it."""
        parsed = parse_formula(composition)
        amounts = reduced(parsed.values())
        whole = all(n == int(n) and n <= self.max_atoms for n in amounts)
        if whole:
            number = int(self.ids(np.array([list(parsed)], np.uint8), np.array([amounts], np.uint8))[0])
            if number >= 0:
                return number
        raise KeyError(f"{composition} is not in {self!r}")

    def ids(self, elements: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        """Ids (N,) int64 of compositions, −1 of those that the space does not hold.

        elements, amounts (N, K) uint8 : atomic numbers, rising, and atoms of each, reduced; the empty places, 0, last
        """
        found = np.full(len(elements), -1, np.int64)
        count = np.count_nonzero(elements, axis=1)
        for block in self.blocks:
            mine = np.flatnonzero(count == block.arity)
            if not len(mine):
                continue
            own, atoms = (np.ascontiguousarray(given[mine, : block.arity], np.uint8) for given in (elements, amounts))
            rank = enumeration.rank(own, atoms, self._free, self._required, block.ratios)
            found[mine] = np.where(rank >= 0, block.start + rank, -1)
        return found

    def chunk(self, start: int, stop: int) -> pa.RecordBatch:
        """Compositions `start` to `stop` (exclusive; its end if that lies beyond the space): `schema.compositions`."""
        stop = min(stop, len(self))
        if not 0 <= start <= stop:
            raise IndexError(f"ids {start} to {stop} do not lie in a space of {len(self)} compositions")
        return schema.composition_batch(np.arange(start, stop, dtype=np.int64), *self._arrays(start, stop))

    def take(self, ids: np.ndarray) -> pa.RecordBatch:
        """Compositions by id, (N,) integer, in the order given: `schema.compositions`. IndexError outside the space."""
        ids = np.asarray(ids, np.int64)
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(self):
            raise IndexError(f"ids {ids.min()} to {ids.max()} do not lie in a space of {len(self)} compositions")
        width = self.arity[-1]
        elements, amounts = np.empty((len(ids), width), np.uint8), np.empty((len(ids), width), np.uint8)
        for block in self.blocks:
            mine = (ids >= block.start) & (ids < block.stop)
            elements[mine], amounts[mine] = enumeration.unrank_each(
                ids[mine] - block.start, self._free, self._required, block.ratios, width
            )
        return schema.composition_batch(ids, elements, amounts)

    def ranges(self, size: int) -> Iterator[tuple[int, int]]:
        """Ids (start, stop) of consecutive chunks of about `size` compositions, each of whole chemical systems."""
        if size < 1:
            raise InputError(f"a chunk holds at least one composition, not {size}")
        start = 0
        while start < len(self):
            wanted = start + size
            if wanted >= len(self):
                stop = len(self)
            else:
                block = next(b for b in self.blocks if wanted < b.stop)
                stop = block.start + (wanted - block.start) // len(block.ratios) * len(block.ratios)
                if stop <= start:
                    stop = start + len(block.ratios)
            yield start, stop
            start = stop

    def chunks(self, size: int) -> Iterator[pa.RecordBatch]:
        """The whole space, chunk by chunk (see `ranges`)."""
        for start, stop in self.ranges(size):
            yield self.chunk(start, stop)

    def spec(self) -> dict[str, Any]:
        """What defines the space, for a file; `CompositionSpace(**spec)` gives it back."""
        return {
            "elements": [SYMBOLS[z] for z in self.elements],
            "arity": list(self.arity),
            "max_atoms": self.max_atoms,
            "require": [SYMBOLS[z] for z in self.require],
        }

    def _arrays(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        width = self.arity[-1]
        parts = [
            enumeration.unrank(
                max(start, b.start) - b.start, min(stop, b.stop) - b.start, self._free, self._required, b.ratios, width
            )
            for b in self.blocks
            if max(start, b.start) < min(stop, b.stop)
        ]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return np.zeros((0, width), np.uint8), np.zeros((0, width), np.uint8)
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
