"""Dictionaries and maps: what is hidden is found, however often it is interrupted."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from orix import sampling
from orix.quaternion import symmetry

from matscreen.engine.ebsd import dictionary as dictionaries
from matscreen.engine.ebsd import indexing
from matscreen.engine.ebsd.dictionary import Dictionary, open_dictionary, read_chunk, simulate
from matscreen.engine.ebsd.grid import orientation_grid
from matscreen.engine.ebsd.indexing import ByDictionary, ByNetwork, clear, index
from matscreen.engine.ebsd.map import EMPTY, GOOD, SATURATED, UNLIKE, read_map
from matscreen.engine.ebsd.output import quaternions
from matscreen.kernels.disorientation import SYMMETRY, disorientation_angle
from matscreen.models.ebsd.representation import fundamental
from matscreen.models.ebsd.simulation import Crystal
from matscreen.models.ebsd.training import OrientationRecipe, fit
from matscreen.models.errors import InputError

from .conftest import EMPTY_ONE, GEOMETRY, SATURATED_ONE, Measured, save

STEPS = 28


@pytest.fixture(scope="module")
def book(nickel: Crystal, tmp_path_factory: pytest.TempPathFactory) -> Dictionary:
    return simulate(nickel, GEOMETRY, STEPS, tmp_path_factory.mktemp("books") / "nickel", 1)


def digest(book: Dictionary) -> list[str]:
    return [file.name for file in book.files]


@pytest.mark.parametrize("group", list(SYMMETRY))
def test_grids_are_those_of_orix(group: str) -> None:
    names = dict(zip(SYMMETRY, ("C1", "C2", "D2", "C4", "D4", "C3", "D3", "C6", "D6", "T", "O"), strict=True))
    ours = orientation_grid(group, 6)
    theirs = sampling.get_sample_fundamental(
        method="cubochoric", semi_edge_steps=6, point_group=getattr(symmetry, names[group])
    )
    assert disorientation_angle(ours, ours, group).max() < 1e-7
    assert abs(len(ours) - theirs.size) <= 0.05 * len(ours)  # points on the zone's border may be counted or not
    if group in ("432", "1"):
        assert len(ours) == theirs.size
    with pytest.raises(InputError, match="steps"):
        orientation_grid(group, 0)


def test_published_grid() -> None:
    assert len(orientation_grid("432", 50)) == 41_625


def test_a_dictionary_does_not_depend_on_workers_or_interruptions(
    nickel: Crystal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dictionaries, "CHUNK", 100)
    whole = simulate(nickel, GEOMETRY, 9, tmp_path / "whole", 1)
    assert len(whole.files) == -(-len(whole) // 100) > 2
    shared = simulate(nickel, GEOMETRY, 9, tmp_path / "shared", 3)
    assert digest(whole) == digest(shared)
    first, second, *_ = shared.files
    first.unlink()
    damaged = bytearray(second.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    second.write_bytes(damaged)
    with pytest.raises(InputError, match="of its"):
        open_dictionary(tmp_path / "shared")
    told: list[tuple[int, int]] = []
    again = simulate(nickel, GEOMETRY, 9, tmp_path / "shared", 2, report=lambda *done: told.append(done))
    assert digest(again) == digest(whole)
    assert told[0] == (len(whole) - 200, len(whole))
    assert told[-1] == (len(whole), len(whole))
    with pytest.raises(InputError, match="of something else"):
        simulate(nickel, GEOMETRY, 8, tmp_path / "shared", 1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="no dictionary"):
        simulate(nickel, GEOMETRY, 8, tmp_path / "other", 1)
    with pytest.raises(InputError, match=r"has no dictionary\.json"):
        open_dictionary(tmp_path / "other")
    stray = tmp_path / "shared" / "chunks" / "notes.arrow"
    stray.write_text("not a chunk")
    assert digest(open_dictionary(tmp_path / "shared")) == digest(whole)
    assert stray.exists()
    config = json.loads((tmp_path / "shared" / "dictionary.json").read_text())
    for key, wrong in (
        ("chunk", 0),
        ("patterns", -1),
        ("patterns", 1.5),
        ("geometry", {"shape": [30.0, 24]}),
        ("phase", 3),
    ):
        (tmp_path / "shared" / "dictionary.json").write_text(json.dumps(config | {key: wrong}))
        with pytest.raises(InputError, match="cannot be used"):
            open_dictionary(tmp_path / "shared")
    orientations, patterns = read_chunk(whole.files[0])
    assert patterns.shape == (100, 30 * 24)
    lengths = np.linalg.norm(patterns.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-3)
    np.testing.assert_array_equal(orientations, orientation_grid("432", 9)[:100])


def off(found: pa.Table, measured: Measured) -> np.ndarray:
    good = found["flag"].to_numpy() == GOOD
    return np.degrees(disorientation_angle(quaternions(found)[good], measured.orientations[good]))


def test_hidden_orientations_are_found(measured: Measured, book: Dictionary, nickel: Crystal, tmp_path: Path) -> None:
    given = read_map(str(measured.path))
    plain = index(given, ByDictionary(book), None, tmp_path / "plain", refine=False)
    flags = plain["flag"].to_numpy()
    assert (flags[EMPTY_ONE], flags[SATURATED_ONE]) == (EMPTY, SATURATED)
    assert np.isnan(plain["score"].to_numpy()[[EMPTY_ONE, SATURATED_ONE]]).all()
    assert set(flags) <= {GOOD, EMPTY, SATURATED, UNLIKE}
    assert np.median(off(plain, measured)) < 3  # the grid's spacing is 3.3°
    better = index(given, ByDictionary(book), nickel, tmp_path / "better", refine=True)
    assert np.median(off(better, measured)) < 0.3
    good = flags == GOOD
    assert (better["score"].to_numpy()[good] >= plain["score"].to_numpy()[good] - 1e-3).all()
    assert off(better, measured).max() < 3  # what would be further off is flagged
    assert (better["flag"].to_numpy() == GOOD).sum() >= 11


def test_noise_is_told_from_patterns(measured: Measured, book: Dictionary, nickel: Crystal, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, measured.images.shape, np.uint8)
    save(noise, tmp_path / "noise.h5")
    given = read_map(str(tmp_path / "noise.h5"))
    for refine in (False, True):
        found = index(given, ByDictionary(book), nickel if refine else None, tmp_path / f"w{refine}", refine)
        assert (found["flag"].to_numpy() == UNLIKE).all()


def test_blocks_of_another_phase_do_not_count(
    measured: Measured, book: Dictionary, nickel: Crystal, tmp_path: Path
) -> None:
    given, other = read_map(str(measured.path)), replace(nickel, master=nickel.master[:, ::-1, ::-1] ** 2)
    first = index(given, ByDictionary(book), nickel, tmp_path / "work", True)
    second = index(given, ByDictionary(book), other, tmp_path / "work", True)
    assert not np.array_equal(first["score"].to_numpy(), second["score"].to_numpy(), equal_nan=True)
    (tmp_path / "work" / "mine.txt").write_text("keep")
    clear(tmp_path / "work")
    assert [p.name for p in (tmp_path / "work").iterdir()] == ["mine.txt"]
    (tmp_path / "work" / "mine.txt").unlink()
    clear(tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_an_interrupted_map_goes_on_and_ends_the_same(
    measured: Measured, book: Dictionary, nickel: Crystal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = read_map(str(measured.path))
    whole = index(given, ByDictionary(book), nickel, tmp_path / "whole", refine=True)
    monkeypatch.setattr(indexing, "BLOCK", 6)

    class KilledError(Exception):
        pass

    def kill(done: int, _total: int) -> None:
        if done > 6:
            raise KilledError

    with pytest.raises(KilledError):
        index(given, ByDictionary(book), nickel, tmp_path / "parts", True, kill)
    files = sorted((tmp_path / "parts").iterdir())
    assert len(files) == 2
    kept = files[0].stat().st_mtime_ns
    files[1].write_bytes(files[1].read_bytes()[:-20])
    parts = index(given, ByDictionary(book), nickel, tmp_path / "parts", True)
    assert files[0].stat().st_mtime_ns == kept
    np.testing.assert_allclose(quaternions(parts), quaternions(whole), atol=1e-6)
    np.testing.assert_array_equal(parts["flag"], whole["flag"])
    again = index(given, ByDictionary(book), nickel, tmp_path / "again", True)
    for name in again.column_names:  # and not only to rounding
        np.testing.assert_array_equal(again[name].to_numpy(), parts[name].to_numpy())
    index(given, ByDictionary(book), None, tmp_path / "parts", False)  # of another job: none of the blocks counts
    assert files[0].stat().st_mtime_ns != kept


def test_a_network_reads_the_same_map(measured: Measured, nickel: Crystal, tmp_path: Path) -> None:
    grid = orientation_grid("432", 8)
    model = fit(
        "omnet-small", nickel, GEOMETRY, grid, tmp_path / "m.safetensors", OrientationRecipe(epochs=2, batch=64)
    )
    given = read_map(str(measured.path))
    found = index(given, ByNetwork(model, nickel), None, tmp_path / "work", refine=False)
    scores = found["score"].to_numpy()
    assert np.isfinite(np.delete(scores, [EMPTY_ONE, SATURATED_ONE])).all()
    images, flags = given.block(0, len(given))
    assert images.shape[0] == len(found)
    blind = index(given, ByNetwork(model, None), None, tmp_path / "blind", refine=False)
    assert np.isnan(blind["score"].to_numpy()).all()
    np.testing.assert_array_equal(quaternions(blind), quaternions(found))
    np.testing.assert_array_equal(flags, blind["flag"].to_numpy())  # without a master pattern nothing is unlike it


def test_what_does_not_fit_together_is_refused(
    measured: Measured, book: Dictionary, nickel: Crystal, tmp_path: Path
) -> None:
    given, method = read_map(str(measured.path)), ByDictionary(book)
    shifted = replace(given, geometry=replace(given.geometry, centre=(0.55, 0.3, 0.6)))
    tilted = replace(given, geometry=replace(given.geometry, tilt=10.0))
    smaller = replace(given, geometry=replace(given.geometry, shape=(15, 12)))
    for other, told in ((shifted, "pattern centre"), (tilted, "other tilts"), (smaller, "pixels")):
        with pytest.raises(InputError, match=told):
            index(other, method, nickel, tmp_path / "work", True)
    with pytest.raises(InputError, match="symmetry"):
        index(given, method, replace(nickel, symmetry="622"), tmp_path / "work", True)
    with pytest.raises(InputError, match="--phase"):
        index(given, method, None, tmp_path / "work", True)


def test_the_real_nickel_patterns_against_kikuchipy(nickel: Crystal, tmp_path: Path) -> None:
    import kikuchipy as kp
    import torch

    given = read_map("nickel")
    book = simulate(nickel, given.geometry, 30, tmp_path / "book", 2)
    found = index(given, ByDictionary(book), nickel, tmp_path / "work", True)
    theirs = torch.from_numpy(np.asarray(kp.data.nickel_ebsd_small().xmap.rotations.data).reshape(-1, 4))
    apart = np.degrees(disorientation_angle(quaternions(found), fundamental(theirs, "432").numpy()))
    assert apart.max() < 0.4  # of theirs, refined with another background
    assert found["score"].to_numpy().min() > 0.35


def test_best_matches_are_those_of_kikuchipy(nickel: Crystal, tmp_path: Path) -> None:
    import kikuchipy as kp
    import torch
    from orix.crystal_map import CrystalMap, PhaseList
    from orix.quaternion import Rotation

    from matscreen.models.ebsd.patterns import prepared

    given = read_map("nickel")
    book = simulate(nickel, given.geometry, 22, tmp_path / "book", 1)
    images, _ = given.block(0, len(given))
    patterns = prepared(torch.from_numpy(images), torch.from_numpy(given.static))
    found, scores = ByDictionary(book).find(patterns)
    parts = list(book.chunks())
    entries = torch.cat([torch.from_numpy(part.astype(np.float32)) for _, part in parts])
    turns = np.concatenate([orientations for orientations, _ in parts])
    theirs = kp.signals.EBSD(patterns.numpy().reshape(3, 3, 60, 60)).dictionary_indexing(
        kp.signals.EBSD(
            entries.numpy().reshape(-1, 60, 60),
            xmap=CrystalMap(rotations=Rotation(turns), phase_list=PhaseList(names="ni", point_groups="m-3m")),
        ),
        metric="ncc",
        keep_n=1,
    )
    apart = disorientation_angle(found, np.asarray(theirs.rotations.data).reshape(-1, 4), "1")
    np.testing.assert_allclose(apart, 0, atol=1e-6)
    np.testing.assert_allclose(scores, np.asarray(theirs.scores).ravel(), atol=1e-5)
