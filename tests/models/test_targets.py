"""Several properties at once, classes, ensembles, splits and cross-validation: small trainings, whole files."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from conftest import write_energies
from matscreen import models
from matscreen.models import dataset
from matscreen.models.architecture import ARCHITECTURES, Architecture
from matscreen.models.baselines import BASELINES, fitted
from matscreen.models.crossvalidation import crossvalidate
from matscreen.models.elements import ATOMIC_NUMBERS
from matscreen.models.errors import InputError
from matscreen.models.evaluation import predictions, report
from matscreen.models.fit import fit
from matscreen.models.loop import Progress
from matscreen.models.metrics import metrics, roc_auc
from matscreen.models.model import ModelError
from matscreen.models.recipe import Recipe
from matscreen.models.split import Split, parts, split_of
from matscreen.models.tables import DataError
from matscreen.models.target import Target

QUICK = Recipe(epochs=12, batch=32, learning_rate=2e-3, weight_decay=0.1, anchors=1)


@pytest.fixture
def gaps(compounds: Path, tmp_path: Path) -> Path:
    """The compounds with a second property, unknown for every fifth, and a class."""
    table = pq.read_table(compounds)
    energy = table["formation_energy_ev_atom"].to_numpy()
    gap = np.maximum(0, -energy * 1.5 - 1)
    known = pa.array(gap, mask=np.arange(len(gap)) % 5 == 0)
    table = table.append_column("band_gap_ev", known).append_column("is_metal", pa.array(gap < 1))
    pq.write_table(table, tmp_path / "gaps.parquet")
    return tmp_path / "gaps.parquet"


def spread(values: np.ndarray) -> float:
    return float(np.nanmean(np.abs(values - np.nanmedian(values))))


def test_two_properties_with_one_partly_unknown(gaps: Path, tmp_path: Path) -> None:
    names = ("formation_energy_ev_atom", "band_gap_ev")
    model = fit("pairnet", gaps, tmp_path / "two.safetensors", QUICK, properties=names)
    assert model.target == Target(names)
    data, _ = dataset.load_clean(gaps, names)
    assert 0.1 < np.isnan(data.values[:, 1]).mean() < 0.3
    figures = model.card["metrics"]
    assert figures["test_mae_ev_atom"] < 0.5 * spread(data.values[:, 0])
    assert figures["test_band_gap_ev_mae"] < 0.5 * spread(data.values[:, 1])
    predicted = model.predict(["LiF", "Fe2O3", "ZnS"])
    assert predicted.shape == (3, 2)
    elements = np.array([[3, 9], [8, 26], [16, 30]], np.uint8)
    amounts = np.array([[1, 1], [3, 2], [1, 1]])
    np.testing.assert_array_equal(model.energies(elements, amounts), predicted[:, 0])
    known, outputs = predictions(model, gaps, "test", split_of(model.card))
    assert report(known, outputs, 1)[0]["mae"] == pytest.approx(figures["test_band_gap_ev_mae"], abs=1e-4)
    held_out = pq.read_table(tmp_path / "two.held_out.parquet")
    assert held_out["predicted_band_gap_ev"].to_numpy() == pytest.approx(outputs[:, 1], abs=1e-5)


def test_classes(gaps: Path, tmp_path: Path, narrow: str) -> None:
    model = fit(narrow, gaps, tmp_path / "metal.safetensors", QUICK, properties=("is_metal",))
    assert model.target == Target(("is_metal",), ("false", "true"))
    probabilities = model.predict(["LiF", "LiO3", "Li"])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    data, outputs = predictions(model, gaps, "test", split_of(model.card))
    figures = model.card["metrics"]
    assert figures["test_accuracy"] > 0.85
    assert figures["test_roc_auc"] == pytest.approx(roc_auc_score(data.values[:, 0], outputs[:, 1]), abs=1e-4)
    assert report(data, outputs)[0]["accuracy"] == pytest.approx(figures["test_accuracy"], abs=1e-4)
    with pytest.raises(ModelError, match="predicts class of is_metal, not formation energies"):
        model.energies(np.array([[3, 9]], np.uint8), np.ones((1, 2)))


def test_classes_of_another_table_are_known_by_name(gaps: Path, tmp_path: Path, narrow: str) -> None:
    def table(name: str, labels: list[str]) -> Path:
        pq.write_table(pa.table({"formula": ["LiF", "FeO", "ZnS"], "kind": labels}), tmp_path / name)
        return tmp_path / name

    rows = pq.read_table(gaps)
    kinds = pa.array(["abc"[i % 3] for i in range(len(rows))]).dictionary_encode()
    pq.write_table(rows.append_column("kind", kinds), tmp_path / "kinds.parquet")
    recipe = replace(QUICK, epochs=2)
    model = fit(narrow, tmp_path / "kinds.parquet", tmp_path / "kinds.safetensors", recipe, properties=("kind",))
    data, outputs = predictions(model, table("two.parquet", ["c", "b", "c"]), "all", Split())
    assert data.values[:, 0].tolist() == [2, 1, 2]
    assert outputs.shape == (3, 3)
    with pytest.raises(DataError, match="row 2 .FeO.: 'd' is none of a, b, c"):
        predictions(model, table("other.parquet", ["c", "d", "c"]), "all", Split())
    with pytest.raises(DataError, match="holds no classes"):
        dataset.load_clean(gaps, ("band_gap_ev",), ("a", "b"))


def test_trainings_that_end_well_or_do_not_begin(gaps: Path, compounds: Path, tmp_path: Path, narrow: str) -> None:
    rows = pq.read_table(gaps)
    volume = pa.array([1e6 + 1e5 * i for i in range(len(rows))])
    empty = pa.array([None if i % 4 else float(i) for i in range(len(rows))], pa.float64())
    path, out = tmp_path / "wide.parquet", tmp_path / "m.safetensors"
    pq.write_table(rows.append_column("volume", volume).append_column("rare", empty), path)
    quick = replace(QUICK, epochs=2)
    large = fit(narrow, path, out, quick, properties=("volume",))
    assert np.isfinite(large.predict(["LiF"])).all()
    data, counts = dataset.load_clean(path, ("band_gap_ev", "rare"))
    assert counts["nothing_known"] > 0
    assert not np.isnan(data.values).all(axis=1).any()
    dropping = replace(quick, dropout=(0.2,), predict_with_dropout=True)
    assert fit(narrow, path, out, dropping, properties=("volume",)).card["metrics"]["test_volume_mae"] > 0
    first = fit(narrow, compounds, tmp_path / "first.safetensors", quick)
    with pytest.raises(InputError, match="with another split: it knows some of what"):
        fit(narrow, compounds, out, quick, start=first, split=Split(1))
    (tmp_path / "n.checkpoint").write_bytes(b"")
    with pytest.raises(InputError, match="is no checkpoint"):
        fit(narrow, compounds, tmp_path / "n.safetensors", quick)
    with pytest.raises(InputError, match="no batch of --batch 1"):
        fit(narrow, compounds, tmp_path / "o.safetensors", replace(quick, batch=1))


def test_a_checkpoint_of_another_network(compounds: Path, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def killed(_: int, state: Progress) -> None:
        if state.epoch == 1:
            raise Killed

    with pytest.raises(Killed):
        fit("irnet-17", compounds, tmp_path / "m.safetensors", QUICK, killed)
    with pytest.raises(InputError, match="belongs to another recipe or data set"):
        fit("plain-17", compounds, tmp_path / "m.safetensors", QUICK)


def test_roc_auc_against_scikit_learn(rng: np.random.Generator) -> None:
    for _ in range(20):
        positive, score = rng.random(50) < 0.4, rng.integers(0, 8, 50)
        assert roc_auc(positive, score) == pytest.approx(roc_auc_score(positive, score))
    assert np.isnan(roc_auc(np.ones(3, bool), np.arange(3)))


def test_metrics_leave_out_what_is_unknown() -> None:
    true = np.array([[1.0, np.nan], [3.0, 5.0]])
    found = metrics(Target(("formation_energy_ev_atom", "g")), true, np.array([[1.5, 0.0], [3.0, 4.0]]))
    assert found["test_mae_ev_atom"] == 0.25
    assert found["test_r2"] == pytest.approx(1 - 0.125)
    assert found["test_g_mae"] == 1.0


def test_an_ensemble_is_its_members(compounds: Path, tmp_path: Path) -> None:
    model = fit("pairnet", compounds, tmp_path / "three.safetensors", replace(QUICK, epochs=4), members=3)
    alone = [
        fit("pairnet", compounds, tmp_path / f"{n}.safetensors", replace(QUICK, epochs=4, seed=n), split=Split(0))
        for n in range(3)
    ]
    formulas = ["LiF", "Fe2O3", "ZnS", "NaCl"]
    each = np.stack([one.predict(formulas) for one in alone])
    assert len(np.unique(each[:, 0])) == 3
    mean, deviation = model.predict_with_uncertainty(formulas)
    np.testing.assert_allclose(mean, each.mean(axis=0), atol=2e-3)  # half precision decides for all members at once
    scale = model.card["calibration"]["uncertainty"]["scale"]
    np.testing.assert_allclose(deviation, scale * each.std(axis=0, ddof=1), atol=2e-3 * scale)
    np.testing.assert_array_equal(model.predict(formulas), mean)
    assert not list(tmp_path.glob("*.checkpoint"))
    with pytest.raises(ModelError, match="has one member"):
        alone[0].predict_with_uncertainty(formulas)
    again = models.load(tmp_path / "three.safetensors")
    np.testing.assert_array_equal(again.predict(formulas), mean)


def test_splits_by_system_and_by_elements(gaps: Path) -> None:
    formulas = ["TiO2", "Ti2O", "LiTiO2", "NaFeO2", "Na2O", "MnO", "NaCl", "FeTiO3", *(f"Li{n}S" for n in range(1, 40))]
    data = dataset.Dataset(formulas, dataset.fraction_matrix(*dataset.composition_arrays(formulas)), np.zeros((47, 1)))
    z = ATOMIC_NUMBERS
    both = parts(data, Split(elements=(z["Ti"], z["O"])))
    assert {formulas[i] for i in both["test"]} == {"TiO2", "Ti2O", "LiTiO2", "FeTiO3"}
    within = parts(data, Split(system=(z["Na"], z["Fe"], z["Mn"], z["O"])))
    assert {formulas[i] for i in within["test"]} == {"NaFeO2", "Na2O", "MnO"}
    for chosen in (both, within):
        assert sorted(np.concatenate(list(chosen.values())).tolist()) == list(range(47))
    folds = [parts(data, Split(3, 5, fold)) for fold in range(5)]
    assert sorted(np.concatenate([f["test"] for f in folds]).tolist()) == list(range(47))


def test_cross_validation_predicts_every_compound_once_and_goes_on(
    compounds: Path, tmp_path: Path, narrow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, recipe = tmp_path / "cv.safetensors", replace(QUICK, epochs=2)
    trained: list[int] = []
    summary = crossvalidate(narrow, compounds, out, recipe, 3, lambda fold, *_: trained.append(fold))
    assert set(trained) == {0, 1, 2}
    table = pq.read_table(tmp_path / "cv.held_out.parquet")
    data, _ = dataset.load_clean(compounds)
    assert sorted(table["formula"].to_pylist()) == sorted(data.formulas)
    errors = np.abs(
        table["predicted_formation_energy_ev_atom"].to_numpy() - table["formation_energy_ev_atom"].to_numpy()
    )
    means = [errors[table["fold"].to_numpy() == fold].mean() for fold in (1, 2, 3)]
    assert summary["mean"]["test_mae_ev_atom"] == pytest.approx(np.mean(means), abs=2e-5)
    assert summary["standard_deviation"]["test_mae_ev_atom"] == pytest.approx(np.std(means, ddof=1), abs=2e-5)
    trained.clear()
    (tmp_path / "cv.fold2.safetensors").unlink()
    assert crossvalidate(narrow, compounds, out, recipe, 3, lambda fold, *_: trained.append(fold)) == summary
    assert set(trained) == {1}
    with pytest.raises(InputError, match="another recipe"):
        crossvalidate(narrow, compounds, out, replace(recipe, batch=16), 3)
    with pytest.raises(InputError, match="another recipe"):
        crossvalidate(narrow, compounds, out, recipe, 3, properties=("volume",))
    monkeypatch.setitem(ARCHITECTURES, narrow, Architecture(((64, 2), (48, 1), (32, 1), (15, 1))))
    with pytest.raises(InputError, match="of another recipe, network or data set"):
        crossvalidate(narrow, compounds, out, recipe, 3)


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_learn(name: str, compounds: Path) -> None:
    data, _ = dataset.load_clean(compounds)
    chosen = parts(data, Split())
    predict = fitted(name, data, chosen["train"])
    error = np.abs(predict(data.fractions[chosen["test"]]) - data.energies[chosen["test"]]).mean()
    assert error < (0.95 if name.startswith("linear") else 0.6) * spread(data.energies)
    np.testing.assert_array_equal(fitted(name, data, chosen["train"])(data.fractions[:9]), predict(data.fractions[:9]))


def test_baselines_that_are_none(compounds: Path) -> None:
    data, _ = dataset.load_clean(compounds)
    with pytest.raises(InputError, match="no baseline 'svm'"):
        fitted("svm", data, np.arange(9))


def test_tables_that_cannot_be_learnt_from(gaps: Path, tmp_path: Path) -> None:
    def table(**columns: list[object]) -> Path:
        pq.write_table(pa.table({"formula": ["Fe2O3", "FeO", "Fe4O6", "Fe"], **columns}), tmp_path / "t.parquet")
        return tmp_path / "t.parquet"

    with pytest.raises(DataError, match=r"half of formation_energy_ev_atom is beyond .*another unit"):
        dataset.load_clean(write_energies(tmp_path / "kj.parquet", ["Fe2O3", "FeO", "NaCl"], [-165.0, -136.0, -206.0]))
    with pytest.raises(DataError, match="has 1 classes"):
        dataset.load_clean(table(kind=["a"] * 4), ("kind",))
    with pytest.raises(DataError, match="gap is empty in every row"):
        dataset.load_clean(table(gap=[None] * 4, volume=[1.0, 2.0, 3.0, 4.0]), ("gap", "volume"))
    with pytest.raises(DataError, match="row 2 .FeO.: gap is empty or NaN"):
        dataset.load_clean(table(gap=[1.0, None, 1.0, 1.0]), ("gap",))
    data, counts = dataset.load_clean(table(gap=[1.0, 2.0, 4.0, 0.0]), ("gap",))
    assert dict(zip(data.formulas, data.energies.tolist(), strict=True)) == {"Fe2O3": 2.5, "FeO": 2.0, "Fe": 0.0}
    assert counts["duplicate_compositions"] == 1
    data, counts = dataset.load_clean(table(kind=["a", "b", "b", "a"]), ("kind",))
    assert data.formulas == ["FeO", "Fe"]  # Fe2O3 is said to be both


@pytest.mark.slow
def test_two_processes_learn_what_one_does(compounds: Path, tmp_path: Path) -> None:
    for processes, name in ((1, "one"), (2, "two")):
        subprocess.run(
            [
                *(sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"),
                *("-m", "matscreen.engine.cli", "train", "elemnet", "--data", str(compounds), "--epochs", "3"),
                *("--batch", "64", "--out", str(tmp_path / f"{name}.safetensors")),
            ],
            check=True,
            capture_output=True,
        )
    one, two = (models.load(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    np.testing.assert_allclose(two.predict(["LiF", "Fe2O3"]), one.predict(["LiF", "Fe2O3"]), atol=5e-3)
    errors = [model.card["metrics"]["train_error"] for model in (one, two)]
    assert errors[1] == pytest.approx(errors[0], abs=1e-3)
