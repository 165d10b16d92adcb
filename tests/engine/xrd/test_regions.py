"""From a table of samples to phase regions: what is read, what is told, and the whole way at the command line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

pytest.importorskip("fabio")
from matscreen.engine.xrd.output import write_tiff
from matscreen.engine.xrd.regions import phase_map
from matscreen.engine.xrd.samples import load, read_samples, usual_shape
from matscreen.models.errors import InputError


def ring(rng: np.random.Generator, radius: float) -> np.ndarray:
    y, x = np.mgrid[:128, :128]
    height = np.exp(-(((np.hypot(x - 64, y - 10) - radius) / 2) ** 2))
    return rng.poisson(300 * height + 50 + x / 4).astype(np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty samples of three elements in two regions; one image is truncated, one empty, one of another size."""
    path, rng = tmp_path_factory.mktemp("samples"), np.random.default_rng(0)
    rows = []
    for n in range(30):
        tin = n / 29
        write_tiff(path / f"{n}.tif", ring(rng, 40 if tin > 0.5 else 75))
        rows.append(
            {"sample": f"A{n}", "Sn": tin, "Ti": 1 - tin, "Zn": 0.2, "region": "ab"[tin > 0.5], "frame": f"{n}.tif"}
        )
    (path / "1.tif").write_bytes((path / "1.tif").read_bytes()[:5000])
    write_tiff(path / "2.tif", np.zeros((128, 128), np.uint16))
    write_tiff(path / "3.tif", ring(rng, 40)[:100])
    pa.csv.write_csv(pa.Table.from_pylist(rows), path / "samples.csv")
    return path


def test_a_table_is_read(folder: Path) -> None:
    listed = read_samples(folder / "samples.csv")
    assert (listed.names[4], listed.elements, listed.views) == ("A4", ("Sn", "Ti", "Zn"), 1)
    np.testing.assert_allclose(listed.compositions.sum(axis=1), 1)
    assert listed.compositions[29, 0] == pytest.approx(1 / 1.2)
    assert usual_shape(listed, np.arange(1, 30)) == (128, 128)
    loaded = list(load(listed, None, (128, 128)))
    assert [sample.number for sample in loaded if sample.problem] == [1, 2, 3]
    assert "empty" in loaded[2].problem
    assert "it is 100 × 128, not 128 × 128" in loaded[3].problem
    (less,) = load(listed, "I-MF", rows=np.array([5]))
    assert less.images.min() == 0
    assert less.images.mean() < loaded[5].images.mean() - 30


def test_images_of_one_file_and_two_views(tmp_path: Path) -> None:
    import h5py

    rng = np.random.default_rng(1)
    stack = rng.poisson(50, (4, 64, 64)).astype(np.uint16)
    stack[:, 10, :] = 0
    with h5py.File(tmp_path / "map.h5", "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry.create_group("data").create_dataset("data", data=stack)
        entry["data"].attrs.update({"NX_class": "NXdata", "signal": "data"})
    rows = [{"frame_1": f"map.h5#{n}", "frame_2": f"map.h5#{n + 1}"} for n in range(3)]
    pa.parquet.write_table(
        pa.Table.from_pylist([*rows, {"frame_1": "map.h5#3", "frame_2": "map.h5#4"}]), tmp_path / "s.parquet"
    )
    listed = read_samples(tmp_path / "s.parquet")
    loaded = list(load(listed, None))
    for n in range(3):
        np.testing.assert_array_equal(loaded[n].images, stack[n : n + 2])
    assert "it holds 4 images" in loaded[3].problem
    assert listed.names == ["1", "2", "3", "4"]


def test_dead_pixels_take_what_is_around_them(tmp_path: Path) -> None:
    image = np.full((64, 64), 7, np.float32)
    image[20:30, 20:30] = np.nan
    image[0, 0], image[60, 60] = 9, 8
    write_tiff(tmp_path / "a.tif", image)
    (tmp_path / "s.csv").write_text("frame\na.tif\n")
    (sample,) = load(read_samples(tmp_path / "s.csv"), None)
    np.testing.assert_allclose(sample.images[0, 20:30, 20:30], 7, atol=0.05)
    assert np.isfinite(sample.images).all()
    mask = np.zeros((64, 64), bool)
    mask[:5, :5] = True  # a beam stop
    (sample,) = load(read_samples(tmp_path / "s.csv"), None, mask=mask)
    assert sample.images[0, 0, 0] == pytest.approx(7, abs=0.05)
    (sample,) = load(read_samples(tmp_path / "s.csv"), None, mask=mask[:9])
    assert "the mask" in sample.problem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sample,Sn\na,1\n", "no column frame"),
        ("frame,Sn\na.tif,x\n", "something else than numbers"),
        ("frame,Sn,Ti\na.tif,0,0\n", "must be positive somewhere"),
        ("frame,Sn\na.tif,-1\n", "negative nowhere"),
        ("frame,Sn\n,1\n", "no image is named"),
        ("frame,Sn\na.tif,nan\n", "no Sn"),
        ("frame,Sn,Sn\na.tif,1,1\n", "comes twice"),
        ("frame\n", "no samples"),
        ("", "no table that can be read"),
    ],
)
def test_tables_that_cannot_be_used(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_samples(path)


def test_from_images_to_a_phase_map(
    folder: Path, tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    table, weights, out = str(folder / "samples.csv"), str(tmp_path / "p.safetensors"), tmp_path / "r.csv"
    assert (
        run("xrd", "train", table, "--network", "padnet-small", "--out", weights, "--epochs", "12", "--batch", "6") == 0
    )
    told = capsys.readouterr()
    assert "validation_cross_entropy" in told.out
    assert told.err.count("left out") == 3
    assert run("xrd", "classify", table, "--model", weights, "--out", str(out)) == 1
    told = capsys.readouterr()
    assert "27 samples" in told.out
    assert "3 of 30 samples were left out" in told.err
    right = int(told.out.split("in the table: ")[1].split()[0])
    assert right >= 22
    found = pa.csv.read_csv(out)
    assert found["problem"].to_pylist()[1:4] != ["", "", ""]
    assert found["region"].to_pylist()[1] in ("", None)
    assert (tmp_path / "r.png").read_bytes()[:4] == b"\x89PNG"
    first = out.read_bytes()
    assert run("xrd", "classify", table, "--model", weights, "--out", str(out)) == 1
    assert out.read_bytes() == first
    beam_stop = np.zeros((128, 128), np.float32)
    beam_stop[30:34, 30:34] = 1
    write_tiff(folder / "stop.tif", beam_stop)
    capsys.readouterr()
    assert run("xrd", "classify", table, "--model", weights, "--out", str(out), "--mask", str(folder / "stop.tif")) == 1
    assert "learnt with 0 pixels masked, here 16 are" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "p.history.parquet",
        "p.json",
        "p.safetensors",
        "r.csv",
        "r.png",
    ]
    capsys.readouterr()
    twice = folder / "twice.csv"
    twice.write_text("frame,Sn,region\n5.tif,1,a\n5.tif,1,b\n")
    for arguments, complaint in (
        (["classify", table, "--model", weights, "--out", table], "would overwrite"),
        (["classify", table, "--model", weights, "--out", "r.txt"], ".csv or .parquet"),
        (["classify", table, "--model", "none.safetensors", "--out", str(out)], "no such file"),
        (["train", table, "--out", "p.bin"], ".safetensors"),
        (["train", table, "--out", weights, "--epochs", "-1"], "--epochs must be positive"),
        (["train", table, "--network", "padnot", "--out", weights], "no network 'padnot'"),
        (["train", "none.csv", "--out", weights], "no such file"),
        (["train", table, "--out", weights, "--folds", "0"], "--folds must be positive"),
        (["train", str(twice), "--out", weights], "two samples have the same images"),
        (["simulate", "--out", str(folder)], "not empty"),
    ):
        assert run("xrd", *arguments) == 2, arguments
        assert complaint in capsys.readouterr().err


def test_cross_validation_at_the_command_line(
    folder: Path, tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--network", "padnet-small", "--out", str(tmp_path / "p.safetensors"), "--epochs", "2", "--folds", "2"]
    assert run("xrd", "train", str(folder / "samples.csv"), *given, "--no-composition", "--background", "I-MF") == 0
    assert "over 2 parts" in capsys.readouterr().out
    answers = pa.parquet.read_table(tmp_path / "p.folds.parquet")
    assert (len(answers), set(answers["part"].to_pylist())) == (27, {1, 2})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.folds.parquet", "p.folds.png"]


def test_columns_are_what_they_are_called(tmp_path: Path) -> None:
    """An index of pandas is no element, an oxygen more changes no shares of the others, names keep their zeros."""
    (tmp_path / "s.csv").write_text(",sample,frame,Sn,O,region\n0,001,a.tif,1, 2,a \n1,002,b.tif,1,2,a\n")
    listed = read_samples(tmp_path / "s.csv")
    assert (listed.elements, listed.names, listed.regions) == (("Sn", "O"), ["001", "002"], ["a", "a"])
    np.testing.assert_allclose(listed.fractions(("Sn",)), 1)
    with pytest.raises(InputError, match="no column Zn"):
        listed.fractions(("Zn",))
    (tmp_path / "l.csv").write_bytes("frame,région\na,b\n".encode("latin-1"))
    with pytest.raises(InputError, match="no table that can be read"):
        read_samples(tmp_path / "l.csv")


def test_a_phase_map_takes_three_elements(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("frame,Sn,Ti\na.tif,1,1\n")
    with pytest.raises(InputError, match="three elements"):
        phase_map(tmp_path / "m.png", read_samples(tmp_path / "s.csv"), ["a"], "")
