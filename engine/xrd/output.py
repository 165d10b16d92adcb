"""Images without background as files that say where they come from, and pictures of before and after."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from matscreen.engine.libraries import library
from matscreen.engine.xrd.frames import Frame
from matscreen.engine.xrd.geometry import integrated
from matscreen.models.files import write_atomically

FORMATS = ("tif", "h5")


def write_image(path: Path, image: np.ndarray, provenance: dict[str, Any]) -> None:
    """A float32 image (H, W) as TIFF or HDF5, NaN where no pixel counts; `provenance` goes with it as JSON."""
    if path.suffix == ".tif":  # which keeps no text, so that it goes beside, after the image it speaks of
        write_tiff(path, image)
        sidecar = path.with_suffix(".json")
        write_atomically(sidecar, lambda temporary: temporary.write_text(json.dumps(provenance, indent=2) + "\n"))
        return

    def write(temporary: Path) -> None:
        with library("h5py", "xrd").File(temporary, "w") as file:
            entry = file.create_group("entry")
            entry.attrs["NX_class"] = "NXentry"
            data = entry.create_group("data")
            data.attrs.update({"NX_class": "NXdata", "signal": "data"})
            data.create_dataset("data", data=image, compression="gzip", shuffle=True)
            entry.attrs["provenance"] = json.dumps(provenance, sort_keys=True)

    write_atomically(path, write)


def write_tiff(path: Path, image: np.ndarray) -> None:
    """An image (H, W) of uint16 or float32: the same bytes each time, which fabio's own, with a date, are not."""
    pillow = library("PIL.Image", "xrd").fromarray(np.ascontiguousarray(image))
    write_atomically(path, lambda temporary: pillow.save(temporary, format="TIFF"))


def read_provenance(path: Path) -> dict[str, Any] | None:
    """What an image that `write_image` wrote says of itself; None if there is none, or it says nothing."""
    try:
        if path.suffix == ".tif":
            told = json.loads(path.with_suffix(".json").read_text()) if path.is_file() else None
        else:
            with library("h5py", "xrd").File(path) as file:
                told = json.loads(file["entry"].attrs["provenance"])
    except (OSError, ValueError, KeyError):
        return None
    return told if isinstance(told, dict) else None


def before_and_after(path: Path, frame: Frame, after: np.ndarray, title: str, geometry: Any = None) -> None:
    """A PNG: the image, what was taken away, what is left; with a geometry their one-dimensional patterns too."""
    library("matplotlib", "xrd").use("Agg")
    from matplotlib import pyplot as plt

    before = frame.image
    panels = 3 if geometry is None else 4
    figure, axes = plt.subplots(1, panels, figsize=(4.8 * panels, 5), layout="constrained")
    for place, (name, image) in enumerate({"before": before, "taken away": before - after, "after": after}.items()):
        low, high = np.nanpercentile(image, (1, 99.5))
        shown = axes[place].imshow(image, vmin=low, vmax=max(high, low + 1e-6), cmap="viridis", interpolation="nearest")
        axes[place].set(title=name, xticks=[], yticks=[])
        figure.colorbar(shown, ax=axes[place], shrink=0.8)
    if geometry is not None:
        for name, image in (("before", before), ("after", after)):
            axes[3].plot(*integrated(image, geometry), label=name, lw=1)
        axes[3].set(xlabel="2θ, degrees", ylabel="mean intensity", yscale="symlog")
        axes[3].legend()
    figure.suptitle(title)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=90))
    plt.close(figure)
