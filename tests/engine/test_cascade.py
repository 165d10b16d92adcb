"""A scan that looks on a GPU first, in the interpreter where there is none: the same candidates, checks on the way."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from distributed import LocalCluster

from interpreter import few_bits_as_on_a_device
from matscreen import models
from matscreen.engine import CompositionSpace, PhaseTable, Run, resume, scan, schema
from matscreen.engine.cascade import Look, looks
from matscreen.engine.safety import CHECKED, _scattered
from matscreen.engine.screen import screen_chunk
from matscreen.kernels import hull
from matscreen.kernels.backend import gpu_here
from matscreen.kernels.mlp import Precision
from matscreen.models import Model, ModelError, resident
from matscreen.models.guard import guard_band
from matscreen.models.model import Student

SPACE = CompositionSpace("Sr-Re-N", arity=(2, 3), max_atoms=6)
"""Small, as the interpreter takes its time, and with candidates of both models."""


@pytest.fixture(autouse=True)
def few_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    few_bits_as_on_a_device(monkeypatch)


@pytest.fixture
def unguarded(model: Model) -> Model:
    card = {key: value for key, value in model.card.items() if key != "low_precision"}
    return replace(model, card=card, student=None, systems=None)


def test_each_look_is_cheaper_than_the_next_and_the_last_is_the_model(model: Model) -> None:
    assert model.student
    assert model.systems
    some = schema.composition_arrays(CompositionSpace("all").chunk(10**8, 10**8 + 1000))[1:]

    def asked(threshold: float, exact: bool, gpu: Precision | None) -> list[Look]:
        return looks(model, threshold, *some, exact, gpu)

    student, systems = model.student.model, model.systems.model.name
    order = [(one.model.name, one.precision) for one in asked(0.2, False, "bf16")]
    both = [(one.name, precision) for one in (student, model) for precision in ("bf16", None)]
    assert order == [(systems, None), *both]
    plain, guarded = asked(0.2, False, None), asked(0.2, False, "bf16")
    assert [one.model.name for one in plain] == [systems, student.name, model.name]
    np.testing.assert_array_equal(guarded[1].bands, plain[1].bands + guard_band(student, "bf16"))
    np.testing.assert_array_equal(guarded[3].bands, guard_band(model, "bf16"))
    assert not plain[-1].bands.any()
    assert [one.model.name for one in asked(-0.1, False, None)] == [model.name]
    assert [one.model.name for one in asked(0.2, True, None)] == [model.name]


@pytest.mark.parametrize(("name", "precision"), [("elemnet-oqmd", "tf32"), ("pairnet-oqmd", "bf16")])
def test_the_same_candidates(name: str, precision: Precision, phases: PhaseTable) -> None:
    network = models.load(name)
    chunk, asked = SPACE.chunk(0, len(SPACE)), (network, phases, 0.05, False, False)
    here, there = screen_chunk(chunk, *asked), screen_chunk(chunk, *asked, gpu=precision)
    assert there.candidates.equals(here.candidates)
    assert 0 < len(here.candidates) <= there.refined < len(SPACE)
    assert there.screened == len(SPACE)


def test_what_a_student_of_systems_loses_does_not_depend_on_a_gpu(model: Model, phases: PhaseTable) -> None:
    assert model.systems
    short = {arity: dict.fromkeys(of, -0.3) for arity, of in model.systems.bands.items()}
    blind = replace(model, systems=replace(model.systems, bands=short))
    chunk = SPACE.chunk(0, len(SPACE))
    every = screen_chunk(chunk, model, phases, 0.05, False, True).candidates
    there, here = (screen_chunk(chunk, blind, phases, 0.05, False, False, gpu=gpu) for gpu in ("bf16", None))
    assert len(here.candidates) < len(every)
    assert there.candidates.equals(here.candidates)


def test_a_guard_band_saves_what_low_precision_would_lose(model: Model, phases: PhaseTable) -> None:
    assert model.student
    small, chunk = model.student.model, SPACE.chunk(0, len(SPACE))
    ids, elements, amounts = schema.composition_arrays(chunk)
    at_hull = hull.hull_energies(elements, amounts, phases.index)
    exact, rough = (small.energies(elements, amounts, *how) - at_hull for how in ((), ("gpu", "bf16")))
    row = int(np.argmax(np.where(exact < -0.05, rough - exact, -np.inf)))
    threshold = -float(exact[row] + rough[row]) / 2  # between the two: below it in float32 only
    assert 0 < threshold < -exact[row]
    unguarded = replace(small, card=small.card | {"low_precision": {"bf16": {"guard_band_ev_atom": 1e-9}}})

    def kept(network: Model) -> list[int]:
        return screen_chunk(chunk, network, phases, threshold, False, True, gpu="bf16").candidates["id"].to_pylist()

    assert ids[row] in kept(small)
    assert ids[row] not in kept(unguarded)
    bands = dict.fromkeys((2, 3), dict.fromkeys(("Sr", "Re", "N"), 0.0))
    for first, there in ((small, True), (unguarded, False)):  # the same where it is a student that looks first
        teacher = replace(
            model, members=small.members, elements=small.elements, student=Student(first, bands), systems=None
        )
        found = screen_chunk(chunk, teacher, phases, threshold, False, False, gpu="bf16").candidates
        assert (ids[row] in found["id"].to_pylist()) == there


def test_a_whole_scan_ends_with_the_same_bytes(
    model: Model, phases: PhaseTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["matscreen.engine.scan"], "gpu_here", lambda: "cuda")
    assert model.student
    small, runs = model.student.model, [tmp_path / name for name in ("here", "there", "both")]
    for path, gpu in zip(runs, (None, "bf16", None), strict=True):
        scan(SPACE, small, phases, path, 0.05, chunk_size=20, workers=1, gpu=gpu)  # type: ignore[arg-type]
    for file in sorted((runs[2] / "chunks").iterdir())[1:]:  # begun on the processor, ended on a GPU
        file.unlink()
    (runs[2] / "candidates.parquet").unlink()
    resume(runs[2], workers=1, gpu="fp32")
    assert len({(path / "candidates.parquet").read_bytes() for path in runs}) == 1
    assert len(Run(runs[0]).candidates) > 5


def test_a_process_for_each_gpu_predicts_there(
    run: Callable[..., int], model: Model, phases: PhaseTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a cluster of threads in the place of dask-cuda's processes, which want NVIDIA's driver."""
    assert model.student
    small, seen = model.student.model, []

    def started(threads_per_worker: int) -> LocalCluster:
        return LocalCluster(1, threads_per_worker=threads_per_worker, processes=False, dashboard_address=None)

    right = resident.outputs
    monkeypatch.setattr(resident, "outputs", lambda *given: seen.append(given[-1]) or right(*given))
    monkeypatch.setitem(sys.modules, "dask_cuda", SimpleNamespace(LocalCUDACluster=started))
    space = ("Sr-Re-N", "--arity", "2,3", "--max-atoms", "6", "--threshold", "0.05", "--model", str(small.source))
    assert run("scan", *space, "--cuda", "--chunk-size", "30", "--top", "0", "--out", str(tmp_path / "there")) == 0
    assert set(seen) == {"bf16"}
    whole = scan(SPACE, small, phases, tmp_path / "here", 0.05, chunk_size=30)
    assert (tmp_path / "there" / "candidates.parquet").read_bytes() == (whole.path / "candidates.parquet").read_bytes()


def test_a_device_that_errs_stops_the_scan(model: Model, phases: PhaseTable, monkeypatch: pytest.MonkeyPatch) -> None:
    space = CompositionSpace("all")
    checked = int(np.flatnonzero(_scattered(np.arange(10**6)) % np.uint64(CHECKED) == 0)[0])
    chunk = space.chunk(checked - 2, checked + 3)
    assert screen_chunk(chunk, model, phases, 0.2, False, False, gpu="bf16").checked >= 1
    right = resident.outputs
    monkeypatch.setattr(resident, "outputs", lambda *given: right(*given) + 0.5)
    with pytest.raises(ArithmeticError, match=rf"the kernel in bf16 predicts .* \(id {checked}\), its definition"):
        screen_chunk(chunk, model, phases, 0.2, False, False, gpu="bf16")
    monkeypatch.setattr(resident, "outputs", lambda *given: right(*given) * np.nan)
    with pytest.raises(ArithmeticError, match="predicts nan eV/atom"):
        screen_chunk(chunk, model, phases, 0.2, False, False, gpu="bf16")


def test_nothing_begins_without_a_guard_band(unguarded: Model, phases: PhaseTable, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no guard band for bf16: `matscreen guard"):
        scan(SPACE, unguarded, phases, tmp_path / "run", gpu="bf16")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(gpu_here() == "cuda", reason="there is a GPU")
def test_nothing_begins_without_a_device(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("scan", "Li-Fe-O", "--gpu", "bf16", "--out", str(tmp_path / "run")) == 2
    assert "predicting on a GPU needs CUDA and Triton" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
