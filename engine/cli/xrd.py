"""`matscreen xrd`: two-dimensional X-ray diffraction."""

import importlib.metadata
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import rich.progress
import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli import xrd_regions, xrd_symmetry
from matscreen.engine.cli.output import PROGRESS, make_folder, say
from matscreen.engine.xrd.background import Method, size_for, without_background
from matscreen.engine.xrd.frames import Frame, files_of, read_frames, read_mask
from matscreen.engine.xrd.geometry import read_geometry
from matscreen.engine.xrd.output import before_and_after, read_provenance, write_image
from matscreen.models.errors import InputError, JobError
from matscreen.models.files import checksum

app = typer.Typer(help="Two-dimensional X-ray diffraction: detector images.", no_args_is_help=True)


app.command()(xrd_regions.simulate)
app.command()(xrd_regions.train)
app.command()(xrd_regions.classify)
app.command()(xrd_symmetry.symmetry)


@app.callback()
def xrd() -> None:
    """Two-dimensional X-ray diffraction: detector images."""


@app.command()
def background(
    files: Annotated[list[Path], typer.Argument(help="Images in any format of fabio, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder to write the images to.")],
    method: Annotated[
        Method,
        typer.Option(
            help="I-SMF: the image less its smoothed minimum filter; I-MF, I-CS: as published; MF, CS, SMF: what they "
            "take away."
        ),
    ] = "I-SMF",
    size: Annotated[str, typer.Option(help="Of the filters, pixels; auto: by the width of the peaks.")] = "auto",
    mask: Annotated[Path | None, typer.Option(help="An image that is not 0 where pixels do not count.")] = None,
    poni: Annotated[Path | None, typer.Option(help="Geometry of pyFAI, for one-dimensional patterns.")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="The geometry is that of the image upside down.")] = False,
    form: Annotated[Literal["tif", "h5"], typer.Option("--format", help="Of what is written.")] = "tif",
    pictures: Annotated[bool, typer.Option(help="Write a picture of before and after beside each image.")] = True,
    workers: o.Workers = None,
) -> None:
    """Take the background off diffraction images.

    Images that cannot be used are told, and the others go on; the exit code is 1 then. What is written already, by the
    same options, is not done again.
    """
    wanted = None if size == "auto" else _size(size)
    threads = o.threads(workers)
    listed = files_of(files)
    hidden = read_mask(mask) if mask else None
    geometry = read_geometry(poni) if poni else None
    make_folder(out)
    told: dict[str, Any] = {"method": method, "size": size, "flip": flip}
    told |= {name: checksum(file) if file else "" for name, file in (("mask", mask), ("poni", poni))}
    done = problems = kept = 0
    taken: dict[Path, Path] = {}
    started = time.perf_counter()
    columns = (
        rich.progress.BarColumn(bar_width=None),
        rich.progress.TextColumn("{task.completed:,}/{task.total:,} files · {task.fields[rate]} images/s"),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=PROGRESS, transient=True) as bar:
        task = bar.add_task("", total=len(listed), rate="–")
        for path in listed:
            for frame in read_frames(path, hidden):
                target = out / f"{frame.name}_{method}.{form}"
                if frame.problem:
                    problems += 1
                    say(f"{path}{_which(frame)}: {frame.problem}; left out")
                    continue
                if taken.setdefault(target, path) != path:
                    raise InputError(
                        f"{path} and {taken[target]} would both be written to {target}; give one at a time"
                    )
                provenance = told | {
                    "file": str(path.resolve()),
                    "frame": frame.number,
                    "modified": path.stat().st_mtime_ns,
                }
                if _is_there(target, provenance, pictures):
                    kept += 1
                    continue
                _one(frame, target, provenance, wanted, threads, geometry, pictures)
                done += 1
                bar.update(task, rate=f"{done / (time.perf_counter() - started):,.1f}")
            bar.advance(task)
    print(f"{done:,} images in {out}" + (f", {kept:,} were there" if kept else ""))
    if problems:
        raise JobError(f"{problems:,} of {done + kept + problems:,} images were left out")


def _one(
    frame: Frame,
    target: Path,
    provenance: dict[str, Any],
    wanted: int | None,
    threads: int,
    geometry: Any,
    pictures: bool,
) -> None:
    image = frame.image[::-1].copy() if provenance["flip"] else frame.image
    size = wanted or size_for(image)
    method: Method = provenance["method"]
    found = without_background(image, method, size, threads)
    full = provenance | {"pixels": size, "saturated_pixels": frame.saturated, "matscreen": _version()}
    try:
        if pictures:
            after = found if method.startswith("I-") else np.asarray(image - found)
            shown = Frame(frame.path, frame.number, image)
            title = f"{frame.name}: {method}, {size} × {size} pixels"
            before_and_after(target.with_suffix(".png"), shown, after, title, geometry)
        write_image(target, found, full)
    except OSError as error:
        raise JobError(
            f"cannot write {target}: {error.strerror or error}; make room and give the command again"
        ) from None


def _is_there(target: Path, provenance: dict[str, Any], picture: bool) -> bool:
    told = read_provenance(target)
    if picture and not target.with_suffix(".png").is_file():
        return False
    return told is not None and all(told.get(key) == value for key, value in provenance.items())


def _which(frame: Frame) -> str:
    return f", image {frame.number}" if frame.number else ""


def _size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 4096:
        raise InputError(f"--size takes pixels from 1 to 4096, or auto, not {text!r}")
    return int(text)


def _version() -> str:
    return importlib.metadata.version("matscreen")
