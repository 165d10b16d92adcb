"""Every table in the project, with units in the field metadata."""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matscreen.models.elements import ATOMIC_NUMBERS
from matscreen.models.errors import InputError


def _field(name: str, kind: pa.DataType, description: str, unit: str = "", nullable: bool = False) -> pa.Field:
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=nullable, metadata=metadata)


UNCERTAINTY = _field(
    "uncertainty_ev_atom",
    pa.float32(),
    "68% of errors are smaller, by how far the model's networks differ; null from a single one",
    "eV/atom",
    nullable=True,
)


def compositions(width: int) -> pa.Schema:
    """A chunk of composition space; `width` is the largest number of elements in it."""
    place = pa.list_(pa.field("item", pa.uint8(), nullable=False), width)
    return pa.schema(
        [
            _field("id", pa.int64(), "number of the composition in its space"),
            _field("elements", place, "atomic numbers, rising; 0 in empty places"),
            _field("amounts", place, "atoms of each element; 0 in empty places", "atoms per formula unit"),
        ]
    )


PHASES = pa.schema(
    [
        _field("formula", pa.string(), "reduced, elements by rising electronegativity"),
        _field("elements", pa.list_(pa.uint8()), "atomic numbers, rising"),
        _field("fractions", pa.list_(pa.float64()), "fraction of atoms of each element"),
        _field("formation_energy_ev_atom", pa.float64(), "relative to the elements", "eV/atom"),
        _field("source_id", pa.string(), "identifier in the source, or its row"),
    ]
)

DECOMPOSITION = pa.list_(
    pa.struct(
        [
            _field("formula", pa.string(), "of the phase"),
            _field("fraction", pa.float64(), "fraction of all atoms that the phase takes", "1"),
        ]
    )
)

CHEMISTRY = (
    _field("charge_balanced", pa.bool_(), "one common oxidation state an element can make it neutral"),
    _field("electronegativity_ordered", pa.bool_(), "and so that every anion is more electronegative than any cation"),
    _field(
        "oxidation_states",
        pa.list_(pa.int8()),
        "of each element, the most usual that balance; null if none do",
        "e",
        nullable=True,
    ),
    _field("contains", pa.list_(pa.string()), "of lanthanide, actinide, noble gas, radioactive"),
    _field("nearest_phase", pa.string(), "reference compound with the nearest fractions of atoms", nullable=True),
    _field("nearest_phase_distance", pa.float64(), "Euclidean, of the vectors of fractions", "1", nullable=True),
    _field(
        "analogue",
        pa.string(),
        "reference compound with the same amounts of other elements of the same columns",
        nullable=True,
    ),
    _field(
        "stable_of_stoichiometry", pa.int32(), "reference compounds on the hull with the same amounts in their formulas"
    ),
)
"""What `chemistry` tells of every candidate."""

SAME = 1e-9
"""Distance of fractions below which a candidate is the known compound."""

CANDIDATES = pa.schema(
    [
        _field("id", pa.int64(), "number of the composition in the run's space"),
        _field("formula", pa.string(), "reduced, elements by rising electronegativity"),
        _field("chemical_system", pa.string(), "symbols in alphabetical order, joined by hyphens"),
        _field("elements", pa.list_(pa.string()), "symbols, by rising atomic number"),
        _field("amounts", pa.list_(pa.uint8()), "atoms of each element", "atoms per formula unit"),
        _field("n_elements", pa.uint8(), "number of elements"),
        _field("formation_energy_ev_atom", pa.float32(), "predicted by the model, in float32", "eV/atom"),
        UNCERTAINTY,
        _field("hull_energy_ev_atom", pa.float64(), "lower convex hull of the reference phases", "eV/atom"),
        _field("hull_distance_ev_atom", pa.float64(), "formation energy − hull energy; negative below", "eV/atom"),
        _field("decomposition", DECOMPOSITION, "reference phases on the hull at this composition"),
        *CHEMISTRY,
    ]
)

REFINED = pa.schema(
    [
        _field("started_from", pa.string(), "candidate of the run"),
        *(CANDIDATES.field(name) for name in ("formula", "formation_energy_ev_atom", "uncertainty_ev_atom")),
        *(CANDIDATES.field(name) for name in ("hull_energy_ev_atom", "hull_distance_ev_atom")),
        _field("change_ev_atom", pa.float64(), "hull distance less that of the candidate", "eV/atom"),
        _field(
            "change_uncertainty_ev_atom",
            pa.float64(),
            "by how far the networks differ about the change, scaled as the uncertainty; null from a single one",
            "eV/atom",
            nullable=True,
        ),
        CANDIDATES.field("charge_balanced"),
        _field("known", pa.bool_(), "whether it is a compound of the reference"),
        CANDIDATES.field("decomposition"),
    ]
)
"""Compositions between those of a run's grid."""


UNITS = {
    "_ev_atom": "eV/atom",
    "_w_m_k": "W/(m K)",
    "_um_m_k": "µm/(m K)",
    "_gpa": "GPa",
    "_ev": "eV",
    "_k": "K",
}
"""Units by how the names of columns end."""


def named(column: str) -> tuple[str, str]:
    """A property's name as people say it, and its unit, empty where its column does not tell."""
    ending = next((ending for ending in UNITS if column.endswith(ending)), "")
    return column.removesuffix(ending).replace("_", " "), UNITS.get(ending, "")


def candidates(properties: Iterable[str] = ()) -> pa.Schema:
    """`CANDIDATES`, and columns for these properties, whose names end with their unit."""
    columns = [
        field
        for name in properties
        for field in (
            _field(name, pa.float32(), "predicted by the property's own model", named(name)[1]),
            _field(f"{name}_spread", pa.float32(), "over that model's networks", named(name)[1], nullable=True),
        )
    ]
    return pa.schema([*CANDIDATES, *columns])


def properties_of(table: pa.Schema) -> list[str]:
    """The properties whose columns candidates have; ValueError if the table is not one of candidates."""
    names = table.names[len(CANDIDATES) :: 2]
    if not table.equals(candidates(names)):
        raise ValueError(f"not a table of candidates: its columns are {', '.join(table.names)}")
    return list(names)


def composition_batch(ids: np.ndarray, elements: np.ndarray, amounts: np.ndarray) -> pa.RecordBatch:
    """Chunk from ids (N,) int64 and elements, amounts (N, K) uint8, without a copy."""
    width = elements.shape[1]
    schema = compositions(width)

    def places(values: np.ndarray, field: str) -> pa.Array:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, type=schema.field(field).type)

    columns = [pa.array(ids), places(elements, "elements"), places(amounts, "amounts")]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def composition_arrays(chunk: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids (N,) int64, elements and amounts (N, K) uint8 of a chunk, without a copy. InputError if it is none."""
    try:
        width = chunk.schema.field("elements").type.list_size
        valid = chunk.schema.equals(compositions(width))
    except (KeyError, AttributeError):
        valid = False
    if not valid:
        raise InputError(f"not a chunk of compositions: its columns are {', '.join(chunk.schema.names) or 'none'}")

    def places(column: str) -> np.ndarray:
        flat: np.ndarray = chunk.column(column).flatten().to_numpy()
        return flat.reshape(-1, width)

    return chunk.column("id").to_numpy(), places("elements"), places("amounts")


def candidate_batch(
    columns: Iterable[object], properties: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None
) -> pa.RecordBatch:
    """Candidates from the columns of `CANDIDATES`, in order, and of properties, values and spreads (NaN is null)."""
    known = properties or {}
    further = (pa.array(values, pa.float32(), from_pandas=True) for pair in known.values() for values in pair)
    schema = candidates(known)
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for column, field in zip([*columns, *further], schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def candidate_arrays(candidates: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Elements and amounts (N, K) uint8 of `CANDIDATES`: atomic numbers by rising value, atoms; 0 in empty places."""
    lists, atoms = (candidates[name].combine_chunks() for name in ("elements", "amounts"))
    sizes = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    taken = np.arange(int(sizes.max(initial=1))) < sizes[:, None]
    elements, amounts = np.zeros(taken.shape, np.uint8), np.zeros(taken.shape, np.uint8)
    symbols = pc.list_flatten(lists).dictionary_encode()
    numbers = np.array([ATOMIC_NUMBERS[symbol] for symbol in symbols.dictionary.to_pylist()], np.uint8)
    elements[taken] = numbers[symbols.indices.to_numpy()]
    amounts[taken] = pc.list_flatten(atoms).to_numpy()
    return elements, amounts


def dictionary_chunk(pixels: int) -> pa.Schema:
    """Part of a dictionary of simulated patterns of so many pixels."""
    turns = [_field(name, pa.float64(), "of the unit quaternion, specimen → crystal") for name in "wxyz"]
    pattern = pa.list_(pa.field("item", pa.float16(), nullable=False), pixels)
    return pa.schema([*turns, _field("pattern", pattern, "row by row, prepared, of length 1")])


def samples(elements: Iterable[str], value: str, wavenumbers: Iterable[float]) -> pa.Schema:
    """Samples with a composition, a property and a spectrum."""
    fractions = [_field(symbol, pa.float64(), "fraction of atoms", "1") for symbol in elements]
    points = [_field(f"{place:g}", pa.float32(), "intensity at this wavenumber", "1") for place in wavenumbers]
    return pa.schema([*fractions, _field(value, pa.float64(), "property"), *points])


def fixed_lists(rows: np.ndarray) -> pa.FixedSizeListArray:
    """(N, K) as a column of lists of K, without a copy."""
    item = pa.field("item", pa.from_numpy_dtype(rows.dtype), nullable=False)
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), type=pa.list_(item, rows.shape[1]))


ORIENTATIONS = pa.schema(
    [
        *(_field(name, pa.float64(), "of the unit quaternion, specimen → crystal") for name in "wxyz"),
        _field(
            "score", pa.float32(), "normalised dot product with the simulated pattern; NaN where none was made", "1"
        ),
        _field("flag", pa.uint8(), "0 indexed, 1 empty, 2 saturated, 3 unreadable, 4 unlike any simulated pattern"),
    ]
)
