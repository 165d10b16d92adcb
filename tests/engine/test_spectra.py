"""Samples in files, cross-validation that goes on, attributions, alignment, and the commands."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from matscreen.engine.spectra.analysis import (
    aligned,
    attributions,
    crossvalidated,
    folds_of,
    slopes,
    smoothed,
    whole_model,
)
from matscreen.engine.spectra.data import SpectralData, read_samples, write_samples
from matscreen.engine.spectra.pictures import arrow_lengths, arrows_picture, in_plane
from matscreen.models.errors import InputError
from matscreen.models.spectra.simulation import ELEMENTS, simulate
from matscreen.models.spectra.training import SpectralModel, SpectralRecipe

QUICK = SpectralRecipe(epochs=(2, 4, 2), seeds=2)


@pytest.fixture(scope="module")
def data() -> SpectralData:
    made = simulate(5, 150)
    return SpectralData(ELEMENTS, "performance", made.wavenumbers, made.spectra, made.fractions, made.values)


@pytest.fixture(scope="module")
def model(data: SpectralData, tmp_path_factory: pytest.TempPathFactory) -> SpectralModel:
    return whole_model(data, QUICK, tmp_path_factory.mktemp("model") / "m.safetensors")


def assert_same(one: SpectralData, other: SpectralData) -> None:
    assert (one.elements, one.value) == (other.elements, other.value)
    for name in ("wavenumbers", "spectra", "fractions", "values"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".h5"])
def test_in_and_out_of_a_file(suffix: str, data: SpectralData, tmp_path: Path) -> None:
    path = tmp_path / f"samples{suffix}"
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["wavenumber"], file["spectra"] = data.wavenumbers[::-1], data.spectra[:, ::-1]
            file["composition"], file["performance"] = 100 * data.fractions, data.values
            file["composition"].attrs["elements"] = np.array(ELEMENTS, "S2")
    else:
        write_samples(data, path)
    assert_same(read_samples(path, "performance"), data)


def test_the_published_table_has_a_line_above_its_names(data: SpectralData, tmp_path: Path) -> None:
    path = tmp_path / "dataset.csv"
    write_samples(data, path)
    path.write_text("a line of its own,,,\n" + path.read_text())
    assert_same(read_samples(path, "performance"), data)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.drop_columns(["performance"]), "no column 'performance'; --property takes one of none"),
        (lambda t: t.drop_columns(list(ELEMENTS[1:])), "1 columns of elements"),
        (lambda t: t.drop_columns([n for n in t.column_names if n[0].isdigit()][9:]), "and 9 of wavenumbers"),
        (lambda t: t.slice(0, 20), "20 samples; at least 50"),
        (lambda t: t.set_column(0, "Bi", pyarrow.array([0.9] * len(t))), "row 1: fractions of atoms add up to"),
        (lambda t: t.set_column(7, "performance", pyarrow.array([float("nan")] * len(t))), "row 1: performance is not"),
        (lambda t: t.set_column(7, "performance", pyarrow.array(["much"] * len(t))), "something else than numbers"),
        (lambda t: t.set_column(8, "80", pyarrow.array([None] * len(t), pyarrow.float32())), "row 1: the spectrum"),
    ],
)
def test_bad_tables(change: Callable[..., object], told: str, data: SpectralData, tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    write_samples(data, path)
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(InputError, match=told):
        read_samples(path, "performance")


def test_bad_files(data: SpectralData, tmp_path: Path) -> None:
    for name, content in (("a.csv", b"\xff\xfe"), ("a.parquet", b"PAR1"), ("a.h5", b"\x89HDF"), ("b.csv", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"not readable|no column"):
            read_samples(tmp_path / name, "performance")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["spectra"] = 1
    with pytest.raises(InputError, match="no dataset 'wavenumber'"):
        read_samples(tmp_path / "c.h5", "performance")
    with pytest.raises(InputError, match="no such file"):
        read_samples(tmp_path / "d.csv", "performance")
    good = {"wavenumber": data.wavenumbers, "spectra": data.spectra, "composition": data.fractions, "p": data.values}
    wrong = {
        "are not of 2, 2, 1 and 1 dimensions": {"p": np.float64(1)},
        "dimensions": {"wavenumber": np.float64(1)},
        "of 2, 2, 1": {"p": data.fractions},
        "do not fit": {"spectra": data.spectra[:, 1:]},
        "a wavenumber comes twice, or is no number": {"wavenumber": np.full(len(data.wavenumbers), np.nan)},
        "is the same for all samples": {"p": np.ones(len(data.values))},
    }
    for told, change in wrong.items():
        with h5py.File(tmp_path / "e.h5", "w") as file:
            for name, content in (good | change).items():
                file[name] = content
            file["composition"].attrs["elements"] = np.array(ELEMENTS, "S2")
        with pytest.raises(InputError, match=told):
            read_samples(tmp_path / "e.h5", "p")
    with h5py.File(tmp_path / "e.h5", "r+") as file:
        del file["p"]
        file["p"] = data.values
        file["composition"].attrs["elements"] = np.array(["Bi", *ELEMENTS[:1], *ELEMENTS[2:]], "S2")
    with pytest.raises(InputError, match="an element comes twice"):
        read_samples(tmp_path / "e.h5", "p")
    with h5py.File(tmp_path / "e.h5", "r+") as file:
        file["composition"].attrs["elements"] = list(ELEMENTS)
        file["note"] = "p"
    with pytest.raises(InputError, match="must be text of fixed length"):
        read_samples(tmp_path / "e.h5", "p")
    with pytest.raises(InputError, match="note holds something else than numbers"):
        read_samples(tmp_path / "e.h5", "note")
    with h5py.File(tmp_path / "g.h5", "w") as file:
        for name, content in (good | {"spectra": np.zeros(1)}).items():
            shape = (10**6, 10**6) if name == "spectra" else np.shape(content)
            file.create_dataset(name, shape, "f8", maxshape=(None,) * len(shape), chunks=True)  # nothing is in it
    with pytest.raises(InputError, match="said to hold 1,000,000,000,000 numbers"):
        read_samples(tmp_path / "g.h5", "p")
    write_samples(data, tmp_path / "f.parquet")
    content = (tmp_path / "f.parquet").read_bytes()
    (tmp_path / "g.parquet").write_bytes(content.replace(b"performance", b"perform\xff\xfece"))
    with pytest.raises(InputError, match="not readable"):
        read_samples(tmp_path / "g.parquet", "performance")
    for value in ("Bi", "80"):
        with pytest.raises(InputError, match="names an element or a wavenumber"):
            read_samples(tmp_path / "f.parquet", value)
    with pytest.raises(InputError, match=r"\.csv or \.parquet"):
        write_samples(data, tmp_path / "samples.xlsx")


def test_folds_are_even() -> None:
    folds = folds_of(103, 5)
    assert sorted(np.bincount(folds).tolist()) == [20, 20, 21, 21, 21]


def test_crossvalidation_goes_on(data: SpectralData, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(name: str, *_: object) -> None:
        if name == "fold 2 of 3":
            raise Killed

    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = crossvalidated(data, QUICK, 3, tmp_path / "whole")
    with pytest.raises(Killed):
        crossvalidated(data, QUICK, 3, tmp_path / "parts", kill)
    trained: list[str] = []
    parts = crossvalidated(data, QUICK, 3, tmp_path / "parts", lambda name, *_: trained.append(name))
    assert set(trained) == {"fold 2 of 3", "fold 3 of 3"}
    np.testing.assert_array_equal(whole, parts)
    (tmp_path / "parts" / "fold-3-of-3.json").write_text("{}")
    trained.clear()
    crossvalidated(data, QUICK, 3, tmp_path / "parts", lambda name, *_: trained.append(name))
    assert set(trained) == {"fold 3 of 3"}
    trained.clear()
    crossvalidated(data, replace(QUICK, batch=16), 3, tmp_path / "parts", lambda name, *_: trained.append(name))
    assert len(set(trained)) == 3


def test_a_model_of_other_data_is_not_taken(data: SpectralData, model: SpectralModel, tmp_path: Path) -> None:
    out, epochs = tmp_path / "m.safetensors", []
    for change in (data, data, replace(data, values=data.values + 1)):
        whole_model(change, QUICK, out, lambda *_: epochs.append(1))
    assert len(epochs) == 2 * sum(QUICK.epochs)
    out.write_bytes(out.read_bytes()[:-1])  # as if it had been killed between weights and card
    whole_model(change, QUICK, out, lambda *_: epochs.append(1))
    assert len(epochs) == 3 * sum(QUICK.epochs)


def test_attributions_add_up(data: SpectralData, model: SpectralModel) -> None:
    rows = np.arange(0, 150, 10)
    found = attributions(model, data, rows, steps=100)
    start = model.members(data.spectra.mean(axis=0)[None], data.fractions.mean(axis=0)[None])
    there = model.members(data.spectra[rows], data.fractions[rows])
    added = found.points.sum(axis=2) + found.elements.sum(axis=2)
    assert added.shape == (2, 15)
    np.testing.assert_allclose(added, there - start, atol=0.01 * np.abs(there - start).max())


def test_slopes_keep_the_sum(data: SpectralData, model: SpectralModel) -> None:
    found = slopes(model, data)
    assert found.elements.shape == (2, 150, 7)
    size = np.abs(found.elements).max()
    np.testing.assert_allclose((found.elements * data.fractions).sum(axis=2), 0, atol=1e-5 * size)
    still = smoothed(model, data, noise=0.0, draws=2)
    np.testing.assert_allclose(still.elements, found.elements, atol=1e-5 * size)
    shaken = smoothed(model, data, noise=1.0, draws=2)
    assert not np.allclose(shaken.points, found.points, atol=1e-3 * np.abs(found.points).max())


def test_arrows_are_derivatives() -> None:
    """Of a plane over two fractions, which slopes towards elements see askew."""
    x = np.array([[0.5, 0.4, 0.06, 0.04], [0.45, 0.45, 0.02, 0.08]])
    gradient = np.array([0.0, 0.0, 3.0, -2.0])
    towards = gradient - x @ gradient[:, None]
    np.testing.assert_allclose(in_plane(towards, x, 2, 3), [[3, -2], [3, -2]], rtol=1e-9)
    arrows = arrow_lengths(np.array([[3.0, 4.0], [0.0, -5.0], [5 / 32, 0]]), 5.0)
    np.testing.assert_allclose(arrows, [[0.6, 0.8], [0, -1], [0.5, 0]])  # (1/32)^0.2 = 1/2


@pytest.mark.parametrize("count", [2, 3])
def test_few_elements(count: int, data: SpectralData, tmp_path: Path) -> None:
    fractions = data.fractions[:, :count] / data.fractions[:, :count].sum(axis=1, keepdims=True)
    few = replace(data, elements=ELEMENTS[:count], fractions=fractions)
    model = whole_model(few, replace(QUICK, epochs=(1, 1, 1)), tmp_path / "m.safetensors")
    arrows_picture(few, slopes(model, few), tmp_path / "arrows.png")
    assert not (tmp_path / "arrows.png").exists()


def test_units_are_aligned(rng: np.random.Generator) -> None:
    one = rng.normal(size=(7, 16))
    shuffled = np.stack([one[:, rng.permutation(16)] + 0.01 * rng.normal(size=one.shape) for _ in range(5)])
    found = aligned(shuffled)
    np.testing.assert_allclose(found, np.repeat(found[:1], 5, axis=0), atol=0.1)
    np.testing.assert_array_equal(found[0], shuffled[0])


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("spectra", "simulate", "--out", "samples.parquet", "--samples", "120", "--seed", "3") == 0
    explain = ("spectra", "explain", "samples.parquet", "--out", "why", "--seeds", "2", "--epochs", "1,2,1")
    assert run(*explain, "--folds", "2") == 0
    said = capsys.readouterr().out
    assert "R² of kernel ridge, 2 folds" in said
    for name in ("elements", "wavenumbers", "first-layer", "arrows"):
        assert (tmp_path / "why" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads((tmp_path / "why" / "explained.json").read_text())
    assert list(told["slopes"]) == list(ELEMENTS)
    assert set(told["r2"]) == {"networks", "kernel ridge", "random forest"}
    assert run(*explain, "--folds", "2") == 0  # from what is there
    assert json.loads((tmp_path / "why" / "explained.json").read_text()) == told
    for wrong, complaint in (
        ((*explain, "--folds", "1"), "--folds 0, or 2"),
        ((*explain, "--epochs", "1,2"), "three numbers"),
        ((*explain, "--property", "power"), "--property takes one of performance"),
        (("spectra", "explain", "nowhere.csv", "--out", "x"), "no such file"),
        (("spectra", "simulate", "--out", "x.txt"), ".csv or .parquet"),
        (("spectra", "simulate", "--out", "nowhere/x.csv"), "no such folder"),
        (("spectra", "simulate", "--out", "x.csv", "--samples", "0"), "--samples takes"),
    ):
        assert run(*wrong) == 2
        assert complaint in capsys.readouterr().err
