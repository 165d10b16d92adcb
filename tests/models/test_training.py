"""Training: the cleaning rules, splits that stay, and a killed run that ends with the same weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from conftest import write_energies
from matscreen.models import dataset, training
from matscreen.models.architecture import ARCHITECTURES, DenseNetwork
from matscreen.models.encoding import Encoding, fit_encoding
from matscreen.models.fit import fit
from matscreen.models.loop import Progress
from matscreen.models.recipe import PUBLISHED, Recipe
from matscreen.models.split import Split, parts
from matscreen.models.tables import DataError


def test_cleaning_rules(tmp_path: Path) -> None:
    formulas = ["Fe", "Fe2O3", "Fe4O6", "NaCl", *(f"Li{i}O{j}" for i in range(1, 8) for j in range(1, 8)), "MgO"]
    energies = [0.0, -1.0, -1.5, -2.0, *[-1.0 - 0.001 * i for i in range(49)], 500.0]
    data, counts = dataset.load_clean(write_energies(tmp_path / "t.parquet", formulas, energies))
    assert counts["single_elements"] == 1
    assert counts["beyond_five_sigma"] == 1
    assert "MgO" not in data.formulas
    assert data.energies[data.formulas.index("Fe4O6")] == np.float32(-1.5)
    assert "Fe2O3" not in data.formulas  # the same composition, higher in energy
    assert len(np.unique(data.fractions, axis=0)) == len(data) == counts["kept"]
    np.testing.assert_allclose(data.fractions.sum(axis=1), 1, atol=1e-6)


def test_a_compound_keeps_its_part_when_the_table_grows(compounds: Path) -> None:
    data, _ = dataset.load_clean(compounds)
    chosen = parts(data, Split(5))
    assert sorted(np.concatenate(list(chosen.values())).tolist()) == list(range(len(data)))
    half = data.take(np.arange(0, len(data), 2))
    test = {data.formulas[i] for i in chosen["test"]}
    assert {half.formulas[i] for i in parts(half, Split(5))["test"]} == test & set(half.formulas)
    assert {data.formulas[i] for i in parts(data, Split(6))["test"]} != test


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("formula,formation_energy_ev_atom\nFe2O3,nan\n", "row 1 .*not a finite number"),
        ("formula,formation_energy_ev_atom\nFe2O3,abc\n", "row 1 .Fe2O3.: .* is 'abc', not a finite number"),
        ("formula,energy\nFe2O3,1\n", "no column 'formation_energy_ev_atom'"),
        ("formula,formation_energy_ev_atom\nFeO,-1\nHeO,-1\n", "row 2: He is not one of"),
        ("formula,formation_energy_ev_atom\nFeO,-1\nZzO,-1\n", "row 2: .*unknown element"),
        ("a,b\n1\n", "not readable"),
    ],
)
def test_bad_tables(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=complaint):
        dataset.load_clean(path)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("name", ["elemnet", "irnet-17", "pairnet"])
def test_a_killed_training_ends_with_the_same_weights(compounds: Path, tmp_path: Path, name: str) -> None:
    data, _ = dataset.load_clean(compounds)
    chosen = parts(data, Split())
    plan = ARCHITECTURES[name]
    encoding = fit_encoding(plan.inputs, data.fractions)
    recipe = Recipe(epochs=4, batch=64, dropout=(0.1, 0.1, 0.1, 0.1), anchors=1, decomposition=0.5)

    def run(checkpoint: Path, die_at: int | None = None) -> dict[str, torch.Tensor]:
        def report(progress: Progress) -> None:
            if progress.epoch == die_at:
                raise Killed

        inputs, known = encoding.before_training(data.fractions[:1]).shape[1], len(encoding.known)
        network = DenseNetwork(plan, inputs, recipe.dropout, recipe.seed, known=known)
        training.train(network, data, encoding, chosen, recipe, checkpoint, report)
        return network.state_dict()

    whole = run(tmp_path / "whole.checkpoint")
    for die_at in (2, 3):
        with pytest.raises(Killed):
            run(tmp_path / "killed.checkpoint", die_at)
    resumed = run(tmp_path / "killed.checkpoint")
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name
    with pytest.raises(ValueError, match="another recipe"):
        training.train(
            DenseNetwork(ARCHITECTURES["elemnet"], 86),
            data,
            Encoding(),
            chosen,
            Recipe(epochs=9),
            tmp_path / "whole.checkpoint",
        )


def test_fit_learns_and_writes_a_model(compounds: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=12, batch=32, learning_rate=1e-3, anchors=1)
    model = fit("elemnet", compounds, tmp_path / "m.safetensors", recipe)
    metrics = model.card["metrics"]
    data, _ = dataset.load_clean(compounds)
    spread = float(np.abs(data.energies - np.median(data.energies)).mean())
    assert metrics["test_mae_ev_atom"] < 0.5 * spread
    assert metrics["train_error"] < 0.3 * spread
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "m.checkpoint").exists()


def test_a_deep_network_of_attributes_learns(compounds: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=20, batch=32, learning_rate=2e-3, weight_decay=0.0, anchors=0)
    model = fit("irnet-17", compounds, tmp_path / "m.safetensors", recipe)
    data, _ = dataset.load_clean(compounds)
    spread = float(np.abs(data.energies - np.median(data.energies)).mean())
    assert model.card["metrics"]["test_mae_ev_atom"] < 0.5 * spread
    rows = parts(data, Split())["test"]
    error = np.abs(model.predict([data.formulas[i] for i in rows]) - data.energies[rows]).mean()
    assert error == pytest.approx(model.card["metrics"]["test_mae_ev_atom"], abs=2e-5)


def test_dropout_in_prediction(compounds: Path, tmp_path: Path, narrow: str) -> None:
    """Validation then drops too, and the card tells the errors with and without."""
    dropping = Recipe(epochs=3, batch=32, anchors=1, dropout=(0.3, 0.3, 0.3, 0.3), predict_with_dropout=True)
    cards = {
        recipe: fit(narrow, compounds, tmp_path / f"{n}.safetensors", recipe).card
        for n, recipe in enumerate((dropping, replace(dropping, predict_with_dropout=False)))
    }
    with_it, without = cards.values()
    first, second = (pq.read_table(tmp_path / f"{n}.history.parquet").to_pylist()[0] for n in range(2))
    assert first["train_error"] == second["train_error"]  # training is the same
    assert first["validation_error"] != second["validation_error"]
    once, mean = (with_it["metrics"][f"test_mae_{name}with_dropout_ev_atom"] for name in ("", "mean_of_ten_"))
    assert mean < once  # the mean of ten draws errs less than one draw, whatever the truth (Jensen)
    assert not any("dropout" in name for name in without["metrics"])


def test_early_stopping(compounds: Path, tmp_path: Path, narrow: str) -> None:
    data, _ = dataset.load_clean(compounds)
    recipe = Recipe(epochs=50, batch=64, learning_rate=1e-30, patience=2, one_cycle=False, weight_decay=0)
    network = DenseNetwork(ARCHITECTURES[narrow], 86)
    history = training.train(network, data, Encoding(), parts(data, Split()), recipe, tmp_path / "c")
    assert len({epoch["validation_error"] for epoch in history}) == 1  # such small steps change nothing
    assert len(history) == 1 + 2


def test_training_at_a_constant_rate_can_be_taken_further(compounds: Path, tmp_path: Path, narrow: str) -> None:
    data, _ = dataset.load_clean(compounds)
    chosen = parts(data, Split())
    recipe = Recipe(epochs=2, batch=64, one_cycle=False, anchors=0)
    runs = {}
    for name, epochs in (("a", (2, 4)), ("b", (4,))):
        for most in epochs:
            network = DenseNetwork(ARCHITECTURES[narrow], 86)
            runs[name] = training.train(
                network, data, Encoding(), chosen, replace(recipe, epochs=most), tmp_path / f"{name}.checkpoint"
            )
    assert [h["validation_error"] for h in runs["a"]] == [h["validation_error"] for h in runs["b"]]


def test_trainings_that_cannot_be(compounds: Path, tmp_path: Path, narrow: str) -> None:
    data, _ = dataset.load_clean(compounds)
    chosen = parts(data, Split())
    network = DenseNetwork(ARCHITECTURES[narrow], 86)
    checkpoint = tmp_path / "c"
    wild = Recipe(epochs=2, batch=64, learning_rate=1e30, one_cycle=False, anchors=0)
    with pytest.raises(ValueError, match="diverged"):
        training.train(network, data, Encoding(), chosen, wild, checkpoint)
    assert not checkpoint.exists()
    checkpoint.write_bytes(b"junk")
    with pytest.raises(ValueError, match="is no checkpoint"):
        training.train(network, data, Encoding(), chosen, wild, checkpoint)
    flat = replace(data, values=np.zeros_like(data.values))
    with pytest.raises(ValueError, match="all values of .* to learn from are equal"):
        training.train(network, flat, Encoding(), chosen, wild, tmp_path / "d")
    with pytest.raises(DataError, match="holds no compound"):
        dataset.load_clean(write_energies(tmp_path / "pure.parquet", ["Fe", "O2"], [0.0, 0.0]))


def test_published_recipes() -> None:
    assert PUBLISHED["elemnet"].dropout == (0.2, 0.1, 0.3, 0.2)
    assert {name: recipe.batch for name, recipe in PUBLISHED.items()} == {
        "elemnet": 32,
        "plain": 64,
        "srnet": 64,
        "irnet": 64,
    }
    assert {recipe.learning_rate for recipe in PUBLISHED.values()} == {1e-4}
