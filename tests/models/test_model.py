"""Model files: what is saved comes back, what is damaged is refused, the shipped weights are what their card says."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from conftest import published
from matscreen import models
from matscreen.kernels.features import ward_features
from matscreen.models import Model, ModelError, dataset
from matscreen.models.architecture import ARCHITECTURES, DenseNetwork, folded
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.encoding import LARGEST, Encoding, fit_encoding
from matscreen.models.formula import composition_arrays, parse_formula
from matscreen.models.member import trained
from matscreen.models.model import mean_of_members, save, spread_of_members
from matscreen.models.split import parts, split_of
from matscreen.models.target import FORMATION_ENERGY


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    network = DenseNetwork(ARCHITECTURES["elemnet"], 86, seed=1)
    save(
        tmp_path / "mine.safetensors",
        [trained(network, Encoding())],
        ELEMNET_ELEMENTS,
        FORMATION_ENERGY,
        {"metrics": {}},
    )
    return tmp_path / "mine.safetensors"


WIDTHS = (1024,) * 4 + (512,) * 3 + (256,) * 3 + (128,) * 3 + (64, 64, 32, 1)


def test_elemnet_is_table_3_1() -> None:
    assert ARCHITECTURES["elemnet"].widths == WIDTHS[:-1]
    network = DenseNetwork(ARCHITECTURES["elemnet"], 86, (0.2, 0.1, 0.3, 0.2))
    assert 4.6e6 < sum(p.numel() for p in network.parameters()) < 4.7e6
    assert [stack.dropout.p for stack in network.stacks] == [0.2, 0.1, 0.3, 0.2, 0, 0]


@pytest.mark.parametrize("family", ["plain", "srnet", "irnet"])
@pytest.mark.parametrize("depth", [17, 24, 48])
def test_families_are_table_4_1(family: str, depth: int) -> None:
    plan = ARCHITECTURES[f"{family}-{depth}"]
    assert len(plan.widths) + 1 == depth
    _, shortcuts = folded(DenseNetwork(plan, 145))
    round_what = {"plain": 0, "srnet": len(plan.stacks), "irnet": depth - 1}[family]
    assert sum(shortcut is not None for shortcut in shortcuts) == round_what
    projections = [s for s in shortcuts if s and s[1] is not None]
    widths = [145, *(width for width, _ in plan.stacks)]
    assert len(projections) == (round_what > 0) * sum(a != b for a, b in itertools.pairwise(widths))


def test_attributes_in_and_out_of_a_file(tmp_path: Path, rng: np.random.Generator) -> None:
    fractions = rng.dirichlet(np.full(86, 0.02), 300)
    encoding = fit_encoding("attributes", fractions)
    inputs = encoding.before_training(fractions)
    standard = (ward_features(fractions) - encoding.mean) / encoding.scale
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(inputs, standard.clip(-LARGEST, LARGEST), atol=1e-6)
    assert set(np.round(standard.std(axis=0), 6).tolist()) <= {0.0, 1.0}
    network = DenseNetwork(ARCHITECTURES["irnet-17"], 145).eval()
    path = tmp_path / "deep.safetensors"
    save(path, [trained(network, encoding)], ELEMNET_ELEMENTS, FORMATION_ENERGY, {"metrics": {}})
    model = models.load(path)
    formulas = ["LiFePO4", "Fe2O3", "NaCl"]
    dense = np.zeros((3, 86))
    for row, formula in enumerate(formulas):
        for z, n in parse_formula(formula).items():
            dense[row, ELEMNET_ELEMENTS.index(z)] = n
    dense /= dense.sum(axis=1, keepdims=True)
    with torch.no_grad():
        expected = network(torch.from_numpy(encoding.before_training(dense)))[:, 0].numpy()
    largest = np.abs(expected).max()  # anything: nothing is trained
    np.testing.assert_allclose(model.predict(formulas) / largest, expected / largest, atol=1e-3)
    with pytest.raises(ModelError, match="does not know He"):
        model.predict(["HeO"])


def test_save_and_load(saved: Path) -> None:
    model = models.load(saved)
    assert model.name == "mine"
    energies = model.predict(["LiFePO4", "Fe2O3", "Fe4O6"])
    assert energies.dtype == np.float32
    assert energies[1] == energies[2]
    np.testing.assert_allclose(energies, model.predict(["LiFePO4", "Fe2O3", "Fe4O6"], backend="reference"), atol=2e-5)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("members", 10**40, "members"),
        ("members", "2", "members"),
        ("elements", [["H"]], "is no element"),
        ("target", 5, "no network that can be used"),
        ("calibration", [1], "calibration"),
        ("metrics", None, "metrics"),
        ("inputs", {"a": 1}, "no network that can be used"),
    ],
)
def test_cards_that_make_no_sense(saved: Path, key: str, value: object, told: str) -> None:
    card = json.loads(saved.with_suffix(".json").read_text())
    saved.with_suffix(".json").write_text(json.dumps(card | {key: value}))
    with pytest.raises(ModelError, match=told):
        models.load(saved)
    saved.with_suffix(".json").write_text("[" * 10**5)
    with pytest.raises(ModelError, match="not a model card"):
        models.load(saved)


@pytest.mark.parametrize(
    ("name", "value"),
    [("mean", np.full(145, np.nan)), ("mean", np.zeros(10)), ("scale", np.zeros(145)), ("scale", np.full(145, np.nan))],
)
def test_attributes_cannot_be_standardised_by_anything(tmp_path: Path, name: str, value: np.ndarray) -> None:
    encoding = replace(Encoding("attributes", np.zeros(145), np.ones(145)), **{name: value})
    one = trained(DenseNetwork(ARCHITECTURES["irnet-17"], 145).eval(), encoding)
    save(tmp_path / "m.safetensors", [one], ELEMNET_ELEMENTS, FORMATION_ENERGY, {"metrics": {}})
    with pytest.raises(ModelError, match=r"input.mean and input.scale must be 145 numbers"):
        models.load(tmp_path / "m.safetensors")


def test_damage_is_seen(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 1
    saved.write_bytes(content)
    with pytest.raises(ModelError, match="not the file that its card describes"):
        models.load(saved)
    saved.with_suffix(".json").write_text("{")
    with pytest.raises(ModelError, match="not a model card"):
        models.load(saved)
    saved.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match="no such file"):
        models.load(saved)


@pytest.mark.parametrize("name", ["nonsense", "../weights/elemnet-oqmd", "/etc/passwd", "no/such.safetensors"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(ModelError, match="no model|no such file"):
        models.load(name)


def test_cards_must_be_complete(saved: Path) -> None:
    card = json.loads(saved.with_suffix(".json").read_text())
    for key, bad in (("metrics", None), ("architecture", "transformer"), ("elements", ["Fe", "Zz"])):
        saved.with_suffix(".json").write_text(json.dumps(card | {key: bad}))
        with pytest.raises(ModelError):
            models.load(saved)


def test_elements_the_model_does_not_know(model: Model) -> None:
    with pytest.raises(ModelError, match="row 2: model .* does not know He"):
        model.predict(["Fe", "HeO"])


ENERGIES = ("elemnet-oqmd", "pairnet-oqmd")
SHIPPED = (*ENERGIES, "properties-aflow")


def test_what_ships() -> None:
    assert tuple(models.available()) == SHIPPED
    assert models.load().name == "pairnet-oqmd"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_card_tells_all(name: str) -> None:
    model = models.load(name)
    card = model.card
    for key in ("description", "data", "training", "metrics", "weights_dtype", "widths"):
        assert card[key]
    if name == "elemnet-oqmd":
        assert card["widths"] == list(WIDTHS)
    assert len(card["data"]["sha256"]) == 64
    assert models.available()[name] == card["metrics"]
    assert model.source.with_suffix(".png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ENERGIES)
def test_shipped_weights_have_the_test_error_of_their_card(name: str) -> None:
    model = models.load(name)
    data, cleaning = dataset.load_clean(published("oqmd_formation_energy.parquet"))
    assert cleaning == model.card["data"]["cleaning"]
    held_out = data.take(parts(data, split_of(model.card))["test"])
    error = np.abs(model.predict(held_out.formulas) - held_out.energies)
    metrics = model.card["metrics"]
    assert error.mean() == pytest.approx(metrics["test_mae_ev_atom"], abs=2e-5)
    assert np.quantile(error, 0.9) == pytest.approx(metrics["test_90th_percentile_ev_atom"], abs=1e-4)


@pytest.mark.parametrize(
    ("column", "table"),
    [("bulk_modulus_gpa", "bulk_modulus_aflow"), ("debye_temperature_k", "debye_temperature_aflow")],
)
def test_shipped_properties_have_the_test_error_of_their_card(column: str, table: str, tmp_path: Path) -> None:
    model = models.load("properties-aflow")
    whole = pq.read_table(published(f"properties/{table}.parquet"))
    known = np.isin(composition_arrays(whole["formula"].to_pylist())[0], [0, *model.elements]).all(axis=1)
    pq.write_table(whole.filter(pa.array(known)), tmp_path / "known.parquet")
    data, _ = dataset.load_clean(tmp_path / "known.parquet", (column,))
    held_out = data.take(parts(data, split_of(model.card))["test"])
    predicted = model.predict(held_out.formulas)[:, model.target.properties.index(column)]
    error = np.abs(predicted - held_out.values[:, 0])
    assert error.mean() == pytest.approx(model.card["metrics"][f"test_{column}_mae"], rel=1e-4)


@pytest.mark.parametrize("count", [2, 8, 33])
def test_a_lone_composition_has_the_digits_it_has_among_others(count: int, rng: np.random.Generator) -> None:
    members = rng.normal(size=(count, 500)).astype(np.float32)
    for told, numpys in (
        (mean_of_members, members.mean(axis=0)),
        (spread_of_members, members.std(axis=0, ddof=1)),
    ):
        found = told(members)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, numpys, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found, [told(members[:, [n]])[0] for n in range(500)])


def test_the_shipped_ensemble_is_surer_where_it_is_right() -> None:
    model = models.load("pairnet-oqmd")
    data, _ = dataset.load_clean(published("oqmd_formation_energy.parquet"))
    held_out = data.take(parts(data, split_of(model.card))["test"])
    predicted, spread = model.predict_with_uncertainty(held_out.formulas)
    error = np.abs(predicted - held_out.energies)
    order = np.argsort(spread)
    assert error[order[:1000]].mean() < 0.5 * error[order[-1000:]].mean()
