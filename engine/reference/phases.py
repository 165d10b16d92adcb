"""The table of known phases and the convex hull they span."""

import functools
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from matscreen.engine import schema
from matscreen.engine.element_sets import parse_elements
from matscreen.engine.reference.sources import SOURCES, fetch
from matscreen.kernels import composition_distance, hull
from matscreen.kernels.backend import Backend
from matscreen.models.errors import InputError
from matscreen.models.formula import SYMBOL, composition_arrays, format_formula, ragged, reduced
from matscreen.models.tables import PLAUSIBLE, read_table

NOISE = 1e-6
"""eV/atom; an element this little below its own reference is taken for rounding."""


class PhaseTable:
    """Known phases with their formation energies; the pure elements always belong to them, at 0 eV/atom.

    Attributes
    ----------
    name : of the source, for people: a name in `SOURCES`, a path, or what was given
    origin : what `PhaseTable.reopen` needs to read it again; empty if it did not come from a file or a source
    table : Arrow table, `schema.PHASES`
    index : the phases by chemical system, for `kernels.hull`
    checksum : SHA-256 over formulas, elements, fractions and energies
    """

    def __init__(
        self, name: str, formulas: Sequence[str], energies: np.ndarray, ids: Sequence[str], origin: dict[str, str]
    ) -> None:
        """Use `read`, `load` or `from_entries`. InputError names the row (from 1) of a phase that cannot be used."""
        self.name = name
        self.origin = origin
        energies = np.asarray(energies, np.float64)
        elements, amounts = composition_arrays(formulas)
        formulas = [format_formula(e, reduced(n)) for e, n in zip(elements.tolist(), amounts.tolist(), strict=True)]
        for row in np.flatnonzero(~np.isfinite(energies)):
            raise InputError(
                f"row {row + 1} ({formulas[row]}): formation energy {energies[row]} is not a finite number"
            )
        width = (elements > 0).sum(axis=1)
        for row in np.flatnonzero(np.abs(energies) > PLAUSIBLE):
            raise InputError(f"row {row + 1} ({formulas[row]}): {energies[row]:g} eV/atom is no formation energy")
        for row in np.flatnonzero((width == 1) & (energies < -NOISE)):
            raise InputError(
                f"row {row + 1} ({formulas[row]}): {energies[row]:g} eV/atom, but formation energies are relative to "
                "the elements, which are at 0; these look like total energies"
            )
        for row in np.flatnonzero(width > hull.MAX_ELEMENTS):
            raise InputError(f"row {row + 1} ({formulas[row]}): more than {hull.MAX_ELEMENTS} elements")
        fractions = amounts / amounts.sum(axis=1, keepdims=True)
        columns = [
            pa.array(formulas, pa.string()),
            pa.array([e[:w] for e, w in zip(elements, width, strict=True)], pa.list_(pa.uint8())),
            pa.array([f[:w] for f, w in zip(fractions, width, strict=True)], pa.list_(pa.float64())),
            pa.array(energies),
            pa.array(ids, pa.string()),
        ]
        self._hold(pa.Table.from_arrays(columns, schema=schema.PHASES))

    def _hold(self, table: pa.Table) -> None:
        self.table = table
        elements, fractions = (_padded(table[name].to_pylist()) for name in ("elements", "fractions"))
        elements = elements.astype(np.uint8)
        energies = table["formation_energy_ev_atom"].to_numpy()
        # Pure elements are in every hull at exactly 0; a second copy, off by rounding, would only blur it.
        compounds = np.flatnonzero((elements > 0).sum(axis=1) > 1)
        self.index = hull.build_index(elements[compounds], fractions[compounds], energies[compounds])
        self._row = compounds  # of the table, for each row that the index counts
        digest = hashlib.sha256("\n".join(table["formula"].to_pylist()).encode())
        for part in (elements, fractions, energies):
            digest.update(np.ascontiguousarray(part).tobytes())
        self.checksum = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.table)

    @functools.cached_property
    def postings(self) -> composition_distance.Postings | None:
        """The compounds by element, as `kernels.composition_distance` takes them; None without any."""
        if not len(self._row):
            return None
        elements, fractions = (_padded(self.table[name].to_pylist()) for name in ("elements", "fractions"))
        return composition_distance.postings(elements[self._row].astype(np.uint8), fractions[self._row])

    def nearest(self, elements: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row of `table` of the compound nearest to each composition, −1 without any, and its distance (N,) float64.

        elements, amounts : (N, K) uint8 and any numeric dtype, see `kernels.composition_distance`
        """
        if self.postings is None:
            return np.full(len(elements), -1, np.int64), np.zeros(len(elements))
        rows, distances = composition_distance.nearest_phase(elements, amounts, self.postings)
        return self._row[rows], distances

    @property
    def on_own_hull(self) -> np.ndarray:
        """Rows of `table` of the compounds on the hull of their own chemical system: no others matter to any hull."""
        return self._row[self.index.source]  # type: ignore[no-any-return]

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that occur in compounds; the table knows nothing of any other element but itself."""
        return frozenset(z for row in self.table["elements"].to_pylist() if len(row) > 1 for z in row)

    def __repr__(self) -> str:
        return (
            f"PhaseTable({self.name}: {len(self):,} phases, {len(self.index.energies):,} on the hull of their system)"
        )

    @classmethod
    def read(cls, path: str | Path, formula: str = "formula", energy: str = "formation_energy_ev_atom") -> "PhaseTable":
        """Phases from a CSV or Parquet file with these columns; energies in eV/atom, relative to the elements.

        Raises
        ------
        InputError
            Missing file or column, a formula or energy that cannot be used; the message names file and row.
        """
        formulas, energies = read_table(Path(path), formula, energy)
        try:
            ids = [str(row) for row in range(1, len(formulas) + 1)]
            origin = {"path": str(Path(path).resolve()), "formula": formula, "energy": energy}
            return cls(str(path), formulas, energies, ids, origin)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def load(cls, name: str = "oqmd-legacy", say: Any = lambda _: None) -> "PhaseTable":
        """A named source (see `SOURCES`), fetched on first use; JobError if that fails, InputError for another name."""
        if name not in SOURCES:
            raise InputError(f"no reference {name!r}: give one of {', '.join(SOURCES)}, or a CSV or Parquet file")
        source = SOURCES[name]
        options = pa.csv.ParseOptions(delimiter=" ")
        rows = pa.csv.read_csv(io.BytesIO(fetch(name, say)), parse_options=options)
        formulas = rows[source.formula].to_pylist()
        ids = [f"{name}:{row}" for row in range(1, len(formulas) + 1)]
        return cls(name, formulas, rows[source.energy].to_numpy(), ids, {"name": name})

    @classmethod
    def from_entries(cls, entries: Iterable[Any], name: str = "entries") -> "PhaseTable":
        """Phases from pymatgen entries (`ComputedEntry`, `PDEntry`: total energies, their elements among them).

        A formation energy is the entry's energy per atom less that of the lowest entry of each of its elements.
        InputError if an element has no entry.
        """
        listed = list(entries)
        reference: dict[str, float] = {}
        for entry in listed:
            if entry.composition.is_element:
                symbol = entry.composition.elements[0].symbol
                reference[symbol] = min(entry.energy_per_atom, reference.get(symbol, np.inf))
        formulas, energies, ids = [], [], []
        for number, entry in enumerate(listed, start=1):
            amounts = {e.symbol: n for e, n in entry.composition.items()}
            missing = [symbol for symbol in amounts if symbol not in reference]
            if missing:
                raise InputError(f"entry {number} ({entry.composition.formula}): no entry for the element {missing[0]}")
            total = sum(amounts.values())
            at_elements = sum(n * reference[symbol] for symbol, n in amounts.items())
            formulas.append(entry.composition.reduced_formula)
            energies.append((entry.energy - at_elements) / total)
            ids.append(str(getattr(entry, "entry_id", None) or number))
        return cls(name, formulas, np.array(energies), ids, {})

    @classmethod
    def from_table(cls, name: str, table: pa.Table) -> "PhaseTable":
        """The `PhaseTable` whose `table` this is; ValueError if it is none."""
        if not table.schema.equals(schema.PHASES):
            raise ValueError("not a table of phases")
        phases = cls.__new__(cls)
        phases.name, phases.origin = name, {}
        phases._hold(table)
        return phases

    @classmethod
    def reopen(cls, origin: dict[str, str]) -> "PhaseTable":
        """The table that `origin` describes, read again."""
        return cls.load(origin["name"]) if "name" in origin else cls.read(**origin)

    def row(self, source: int) -> int:
        """Row of `table` of the phase that `index.source` calls `source`."""
        return int(self._row[source])

    def hull_energy(self, formulas: Sequence[str], backend: Backend = "auto") -> np.ndarray:
        """Lower hull energy at each composition: (N,) float64, eV/atom."""
        return hull.hull_energies(*_bounded(formulas), self.index, backend=backend)

    def decomposition(self, formula: str) -> dict[str, float]:
        """Phases on the hull at this composition: {formula: fraction of all atoms}, largest first."""
        phases = self.decompositions(*_bounded([formula]))[1][0].as_py()
        return {p["formula"]: p["fraction"] for p in phases}

    def decompositions(self, elements: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, pa.ListArray]:
        """Hull energies (N,) float64 and decompositions, `schema.DECOMPOSITION`, of compositions as arrays."""
        energies, phases, fractions = hull.decompositions(elements, amounts, self.index)
        present = fractions > 0
        taken = phases[present]
        compound = taken >= 0
        rows = np.zeros(len(taken), np.int64)
        rows[compound] = self._row[taken[compound]]
        compounds = self.table["formula"].take(pa.array(rows, mask=~compound)).combine_chunks()
        names = pc.coalesce(compounds, SYMBOL.take(pa.array(np.where(compound, 0, -taken))))
        struct = schema.DECOMPOSITION.value_type
        listed = pa.StructArray.from_arrays([names, pa.array(fractions[present])], fields=list(struct))
        return energies, ragged(listed, present)

    def system(self, chemical_system: str) -> pa.Table:
        """Phases within a chemical system (`Li-Fe-O`), with their distance above the hull, lowest energies first."""
        labels = set(parse_elements(chemical_system))
        within = [i for i, e in enumerate(self.table["elements"].to_pylist()) if set(e) <= labels]
        chosen = self.table.take(pa.array(within, pa.int64()))
        energy = chosen["formation_energy_ev_atom"].to_numpy()
        elements, fractions = (_padded(chosen[name].to_pylist()) for name in ("elements", "fractions"))
        above = energy - hull.hull_energies(elements.astype(np.uint8), fractions, self.index)
        field = pa.field("hull_distance_ev_atom", pa.float64(), metadata={"unit": "eV/atom"})
        return chosen.append_column(field, pa.array(above)).take(pa.array(np.argsort(energy, kind="stable")))


def _padded(rows: list[list[float]]) -> np.ndarray:
    """(N, K) from rows of several lengths, 0 in empty places."""
    padded = np.zeros((len(rows), max(map(len, rows), default=1)))
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded


def _bounded(formulas: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Elements and amounts of formulas; InputError if one has more elements than a hull is found for."""
    elements, amounts = composition_arrays(formulas)
    for row in np.flatnonzero((elements > 0).sum(axis=1) > hull.MAX_ELEMENTS).tolist():
        raise InputError(f"{formulas[row]}: more than {hull.MAX_ELEMENTS} elements")
    return elements, amounts
