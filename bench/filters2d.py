"""Large filters on a 2048 × 2048 float32 image, one core; peers: SciPy and OpenCV."""

import cv2
import numpy as np
from scipy import ndimage

from bench.harness import copy_rate, median_seconds, publish
from matscreen.kernels.filters2d import maximum_filter, mean_filter, minimum_filter, slope_filters, slope_masks

SIDE = 2048
REFLECT = {"borderType": cv2.BORDER_REFLECT}


def main() -> None:
    cv2.setNumThreads(1)
    image = np.random.default_rng(0).lognormal(3, 1, (SIDE, SIDE)).astype(np.float32)
    figures: dict[str, float | str] = {
        "limit: ms to read the image and write one": 1e3 * 2 * image.nbytes / copy_rate(),
    }
    for f in (50, 200):
        box = np.ones((f, f), np.uint8)
        for name, ours, scipy, opencv in (
            ("minimum", minimum_filter, ndimage.minimum_filter, lambda box=box: cv2.erode(image, box, **REFLECT)),
            ("maximum", maximum_filter, ndimage.maximum_filter, lambda box=box: cv2.dilate(image, box, **REFLECT)),
            ("mean", mean_filter, ndimage.uniform_filter, lambda f=f: cv2.blur(image, (f, f), **REFLECT)),
        ):  # fmt: skip
            compare(
                figures,
                f"{name} {f}",
                lambda ours=ours, f=f: ours(image, f),
                {"SciPy": lambda scipy=scipy, f=f: scipy(image, f), "OpenCV": opencv},
            )
        masks = slope_masks(f).astype(np.float32)

        def opencv_slopes(masks: np.ndarray = masks) -> list[np.ndarray]:
            # Its anchor is the pixel that the window of ours is centred on, so that the two can be compared.
            return [cv2.filter2D(image, cv2.CV_32F, mask, **REFLECT) for mask in masks]

        found, theirs = slope_filters(image, f), opencv_slopes()
        scale = float(mean_filter(np.abs(image), f).max()) * f * f
        figures[f"slopes {f}: largest difference from OpenCV, of the sum"] = max(
            float(np.abs(a - b).max()) / scale for a, b in zip(found, theirs, strict=True)
        )
        compare(figures, f"four slopes {f}", lambda f=f: slope_filters(image, f), {"OpenCV": opencv_slopes})
    publish("filters2d", figures)


def compare(figures: dict[str, float | str], name: str, ours: object, peers: dict[str, object]) -> None:
    """Milliseconds of each and our ratio to the best."""
    mine = 1e3 * median_seconds(ours, 7)  # type: ignore[arg-type]
    figures[f"{name}, ms"] = mine
    times = {peer: 1e3 * median_seconds(run, 3) for peer, run in peers.items()}  # type: ignore[arg-type]
    for peer, milliseconds in times.items():
        figures[f"{name}, {peer}, ms"] = milliseconds
    figures[f"{name}, ratio to the best of them"] = min(times.values()) / mine


if __name__ == "__main__":
    main()
