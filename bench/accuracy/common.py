"""What the comparisons share: where things lie, tables cut short for --quick, and how a result is published."""

import argparse
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from bench.harness import DATA, RESULTS, ROOT, record
from matscreen.models import Model, load
from matscreen.models.architecture import ARCHITECTURES
from matscreen.models.dataset import Dataset
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.fit import predictions, train_member, write_table
from matscreen.models.formula import composition_arrays
from matscreen.models.member import trained
from matscreen.models.recipe import Recipe
from matscreen.models.split import draws

WORK = Path(os.environ.get("MATSCREEN_RUNS", ROOT / "runs")) / "accuracy"


@dataclass(frozen=True)
class Job:
    """One comparison, whole or quick.

    Attributes
    ----------
    name : of the comparison
    quick : on a twentieth of the data, for few epochs
    work : folder for models
    results : folder for figures
    """

    name: str
    quick: bool
    work: Path
    results: Path

    def whole(self, name: str) -> Path:
        """A published table, as it is."""
        path = DATA / name
        if not path.is_file():
            raise SystemExit(f"{path} is not there: set MATSCREEN_DATA to the folder of the published tables")
        return path

    def data(self, name: str) -> Path:
        """A published table without elements that no network here knows; if quick, a twentieth of it, by formula."""
        whole = self.whole(name)
        table = pq.read_table(whole)
        formulas = table["formula"].to_pylist()
        keep = np.isin(composition_arrays(formulas)[0], [0, *ELEMNET_ELEMENTS]).all(axis=1)
        if self.quick:
            keep &= draws(formulas, "quick") < 0.05
        if keep.all():
            return whole
        part = self.work / whole.name
        pq.write_table(table.filter(keep), part)
        return part

    def epochs(self, whole: int) -> int:
        """So many, or a tenth if quick."""
        return max(2, whole // 10) if self.quick else whole

    def trained(self, path: Path) -> Model | None:
        """The model that an earlier run of this comparison left there."""
        return load(path) if path.is_file() and path.with_suffix(".json").is_file() else None

    def publish(self, figures: Any, name: str = "") -> None:
        """Write figures with machine, versions and commit."""
        path = self.results / f"{name or self.name}.json"
        path.write_text(json.dumps(record(name or self.name, figures), indent=1) + "\n")
        print(f"wrote {path}")


def job(name: str, *options: str, flags: tuple[str, ...] = ()) -> tuple[Job, argparse.Namespace]:
    """The comparison that the command line asks for; `options` are further ones that take a value, `flags` do not."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.accuracy.{name}")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the data and a tenth of the epochs")
    for option in options:
        parser.add_argument(f"--{option}")
    for flag in flags:
        parser.add_argument(f"--{flag}", action="store_true")
    given = parser.parse_args()
    work = (WORK / "quick" if given.quick else WORK) / name
    results = work if given.quick else RESULTS / "accuracy"
    for folder in (work, results):
        folder.mkdir(parents=True, exist_ok=True)
    return Job(name, given.quick, work, results), given


def learned(
    run: Job,
    key: str,
    network: str,
    data: Dataset,
    chosen: dict[str, np.ndarray],
    recipe: Recipe,
    start: Model | None = None,
) -> np.ndarray:
    """What a network that learnt from `chosen["train"]` predicts for `chosen["test"]`: (N,), kept under `key`."""
    kept = run.work / f"{key}.parquet"
    formulas = [data.formulas[i] for i in chosen["test"]]
    deciding = repr(
        (ARCHITECTURES[network], recipe, start and start.checksum, sorted(data.formulas[i] for i in chosen["train"]))
    )
    identity = hashlib.sha256(deciding.encode()).hexdigest()
    if kept.is_file():
        table = pq.read_table(kept)
        if table["formula"].to_pylist() == formulas and (table.schema.metadata or {}).get(b"of") == identity.encode():
            found: np.ndarray = table["predicted"].to_numpy()
            return found
        raise SystemExit(f"{kept} is of another training; remove it")
    one = train_member(network, data, chosen, recipe, run.work / f"{key}.checkpoint", progress(key), start)
    predicted: np.ndarray = predictions([trained(one.network, one.encoding)], data, chosen["test"])[0, :, 0]
    write_table(kept, pa.table({"formula": formulas, "predicted": predicted}, metadata={"of": identity}))
    (run.work / f"{key}.checkpoint").unlink()
    return predicted


def progress(name: str) -> Callable[..., None]:
    """What `fit` or `crossvalidate` report to: a line an epoch."""
    seen: set[tuple[int, ...]] = set()

    def report(*told: Any) -> None:
        *which, state = told
        if state.epoch and (key := (*which, state.epoch)) not in seen:
            seen.add(key)
            part = " ".join(str(n + 1) for n in which)
            errors = f"{state.train_error:.4f}, validation {state.validation_error:.4f}"
            print(f"{name} {part} epoch {state.epoch}: {errors}", flush=True)

    return report


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a table."""
    table = Table(title=title, title_justify="left", box=None)
    for number, name in enumerate(rows[0]):
        table.add_column(name, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(
            *(f"{v:.4f}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else str(v) for v in row.values())
        )
    Console(width=140, highlight=False).print(table)
