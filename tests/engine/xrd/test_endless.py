"""Files at which fabio would look for ever are told at once, packed or not."""

import bz2
import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import fabio
import numpy as np
import pytest

from matscreen.engine.xrd.frames import read_frames

IMAGE = (np.arange(480) % 250).astype(np.uint16).reshape(24, 20)


def packed_as(name: str) -> Callable[[bytes], bytes]:
    return {"gz": gzip.compress, "bz2": bz2.compress}.get(name.rpartition(".")[2], bytes)


@pytest.mark.parametrize("name", ["a.cbf", "a.cbf.gz", "a.cbf.bz2", "a.dat"])
def test_pixels_that_never_begin(name: str, tmp_path: Path) -> None:
    fabio.cbfimage.CbfImage(data=IMAGE).write(str(tmp_path / "whole.cbf"))
    whole = (tmp_path / "whole.cbf").read_bytes()
    at = whole.index(b"\x0c\x1a\x04\xd5")
    (tmp_path / name).write_bytes(packed_as(name)(whole[:at]))
    (frame,) = read_frames(tmp_path / name, None)
    assert "no pixels begin in it" in frame.problem
    (tmp_path / name).write_bytes(packed_as(name)(whole))
    (frame,) = read_frames(tmp_path / name, None)
    assert not frame.problem
    np.testing.assert_array_equal(frame.image, IMAGE)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["a.tif", "a.tif.gz"])
def test_directories_in_a_circle(name: str, order: str, tmp_path: Path) -> None:
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    circle = head + struct.pack(f"{order}HI", 0, 14) + struct.pack(f"{order}HI", 0, 8)
    (tmp_path / name).write_bytes(packed_as(name)(circle))
    (frame,) = read_frames(tmp_path / name, None)
    assert "lead back to themselves" in frame.problem


def test_good_images_are_read(tmp_path: Path) -> None:
    fabio.tifimage.TifImage(data=IMAGE).write(str(tmp_path / "a.tif"))
    (frame,) = read_frames(tmp_path / "a.tif", None)
    np.testing.assert_array_equal(frame.image, IMAGE)


@pytest.mark.parametrize("at", [0, 2**20 - 40, 3 * 2**20])
@pytest.mark.parametrize("name", ["a.edf", "a.edf.gz", "a.img"])
def test_hundreds_of_dimensions(name: str, at: int, tmp_path: Path) -> None:
    content = b"{\n" + b"#" * at + b"\nDim_1 = 20 ;\ndim_00999999999991 = 20 ;\n}\n" + bytes(480)
    (tmp_path / name).write_bytes(packed_as(name)(content))
    (frame,) = read_frames(tmp_path / name, None)
    assert "hundreds of dimensions" in frame.problem
    fabio.edfimage.EdfImage(data=IMAGE).write(str(tmp_path / "whole"))
    (tmp_path / name).write_bytes(packed_as(name)((tmp_path / "whole").read_bytes()))
    (frame,) = read_frames(tmp_path / name, None)
    np.testing.assert_array_equal(frame.image, IMAGE)
