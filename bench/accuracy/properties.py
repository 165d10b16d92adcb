"""One network for all properties of AFLOW, and one for each: does it help to learn them together?

The table for all is the union of the six, with what is unknown left empty: gaps are known of six times as many
compounds as moduli.

    python -m bench.accuracy.properties [--quick] [--ship]   --ship: train, and keep the network in models/weights
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from bench.accuracy.common import Job, job, learned, progress, show
from matscreen.models import Model
from matscreen.models.catalogue import SHIPPED
from matscreen.models.dataset import load_clean, sparse_rows
from matscreen.models.fit import fit, write_table
from matscreen.models.metrics import metrics
from matscreen.models.recipe import DEFAULTS
from matscreen.models.split import Split, parts
from matscreen.models.target import Target

NETWORK, MEMBERS, NAME = "pairnet", 3, "properties-aflow"

TABLES = {
    "band_gap_ev": ("band_gap_aflow", "band_gap_ev", 1.0),
    "bulk_modulus_gpa": ("bulk_modulus_aflow", "bulk_modulus_gpa", 1.0),
    "shear_modulus_gpa": ("shear_modulus_aflow", "shear_modulus_gpa", 1.0),
    "debye_temperature_k": ("debye_temperature_aflow", "debye_temperature_k", 1.0),
    "thermal_conductivity_300k_w_m_k": ("thermal_conductivity_aflow", "thermal_conductivity_300k_w_m_k", 1.0),
    "thermal_expansion_300k_um_m_k": ("thermal_expansion_aflow", "thermal_expansion_300k_per_k", 1e6),
}
"""By column of the union: file, its column, and what one is in the unit of the union."""


def union(task: Job) -> Path:
    """All tables in one, by formula."""
    whole: pa.Table | None = None
    for name, (file, column, factor) in TABLES.items():
        table = pq.read_table(task.data(f"properties/{file}.parquet"), columns=["formula", column])
        values = factor * table[column].to_numpy().astype(np.float64)
        own = pa.table({"formula": table["formula"], name: values})
        whole = own if whole is None else whole.join(own, "formula", join_type="full outer")
    assert whole is not None
    path = task.work / "aflow.parquet"
    write_table(path, whole.sort_by("formula"))
    return path


def together(task: Job, path: Path, ship: bool) -> Model:
    """The network for all of them: what was trained before, or trained now."""
    out = (SHIPPED if ship and not task.quick else task.work) / f"{NAME}.safetensors"
    recipe = replace(DEFAULTS[NETWORK], epochs=task.epochs(DEFAULTS[NETWORK].epochs))
    return task.trained(out) or fit(
        NETWORK, path, out, recipe, progress(NAME), properties=tuple(TABLES), members=MEMBERS
    )


def alone(task: Job, name: str) -> dict[str, float]:
    """Errors of a network that learns one property, one member."""
    file, column, factor = TABLES[name]
    data, _ = load_clean(task.data(f"properties/{file}.parquet"), (column,))
    chosen = parts(data, Split())
    recipe = replace(DEFAULTS[NETWORK], epochs=task.epochs(DEFAULTS[NETWORK].epochs))
    predicted = learned(task, name, NETWORK, data, chosen, recipe) * factor
    true = data.values[chosen["test"]] * np.float32(factor)
    return metrics(Target((name,)), true, predicted[:, None])


def of_members(task: Job, model: Model, name: str) -> dict[str, float]:
    """Errors of the network for all on one property, mean of its members each by itself."""
    file, column, factor = TABLES[name]
    data, _ = load_clean(task.data(f"properties/{file}.parquet"), (column,))
    rows = parts(data, Split())["test"]
    outputs = model.outputs(*sparse_rows(data.fractions[rows]))[:, :, model.target.properties.index(name)]
    true = data.values[rows] * np.float32(factor)
    each = [metrics(Target((name,)), true, one[:, None]) for one in outputs]
    return {key: float(np.mean([errors[key] for errors in each])) for key in each[0]}


def main() -> None:
    task, told = job("properties", flags=("ship",))
    torch.set_num_threads(2)
    path = union(task)
    model = together(task, path, told.ship)
    figures: dict[str, Any] = {
        "network": NETWORK,
        "members": MEMBERS,
        "compounds": model.card["data"]["cleaning"]["kept"],
    }
    rows = []
    for name in TABLES:
        single, member = alone(task, name), of_members(task, model, name)
        kinds = {"mae": f"test_{name}_mae", "r2": f"test_{name}_r2"}
        both = {
            kind: {
                "alone": single[key],
                "together": round(member[key], 5),
                "together, mean of three": model.card["metrics"][key],
            }
            for kind, key in kinds.items()
        }
        figures[name] = both
        rows.append(
            {"property": name} | {f"{kind}, {way}": v for kind, ways in both.items() for way, v in ways.items()}
        )
    show("errors on what was held out", rows)
    task.publish(figures)


if __name__ == "__main__":
    main()
