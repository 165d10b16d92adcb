"""What is printed for programs: of long lists too, which are not taken apart all at once."""

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pytest

from matscreen.engine.cli.output import print_compositions


@pytest.mark.parametrize("count", [0, 1, 40_000])
def test_lists_for_programs(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    energies = np.random.default_rng(0).normal(size=count)
    names = pa.array([f'Fe{n}O "oxide"\nof iron' for n in range(count)], pa.string())
    shares = [[{"fraction": 0.25, "formula": "Fe"}, {"fraction": 0.75, "formula": "O"}]] * count
    mixtures = pa.array(shares, pa.list_(pa.struct([("fraction", pa.float64()), ("formula", pa.string())])))
    table = pa.table({"formula": names, "energy": energies, "decomposition": mixtures})
    tables = [table[:17], table[17:17], table[17:]]
    print_compositions(iter(tables), "json", "")
    assert capsys.readouterr().out == json.dumps(table.to_pylist(), indent=1) + "\n"
    print_compositions(iter(tables), "csv", "")
    written = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert written[0] == ["formula", "energy", "decomposition"]
    assert [row[0] for row in written[1:]] == names.to_pylist()
    assert [float(row[1]) for row in written[1:]] == energies.tolist()
    assert {row[2] for row in written[1:]} == ({"0.25 Fe + 0.75 O"} if count else set())
