"""Which patterns of a dictionary look most like a measured one: the largest normalised dot products.

    ⟨a, b⟩ / (‖a‖ ‖b‖)          (Jha 2020, eq. 6.2)

of patterns less their means, so that neither brightness nor contrast counts.
"""

import sys
from typing import Literal

import numpy as np

from matscreen.kernels.backend import Backend, as_numpy, on_gpu, resolve
from matscreen.kernels.pattern_matching import cpu, reference

__all__ = ["best_matches", "nothing_yet", "unit_patterns"]


def unit_patterns(patterns: np.ndarray) -> np.ndarray:
    """Patterns (N, …) of any real dtype less their means and of length 1: (N, P) float32; 0 where all pixels are equal.

    Their dot products are what `best_matches` compares. Tensors stay on their device.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(patterns, torch.Tensor):
        flat = patterns.flatten(1).float()
        centred: np.ndarray = torch.nn.functional.normalize(flat - flat.mean(1, keepdim=True), dim=1)
        return centred
    return cpu.unit(np.ascontiguousarray(patterns).reshape(len(patterns), -1))


def nothing_yet(patterns: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """What is known of so many patterns before any of the dictionary was seen: scores −∞ and rows −1, (N, count)."""
    return np.full((patterns, count), -np.inf, np.float32), np.full((patterns, count), -1, np.int64)


def best_matches(
    patterns: np.ndarray,
    dictionary: np.ndarray,
    count: int = 1,
    so_far: tuple[np.ndarray, np.ndarray] | None = None,
    first: int = 0,
    *,
    precision: Literal["float32", "bfloat16"] = "float32",
    backend: Backend = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """The most alike of a dictionary, which may come in parts: hand on what the parts before have given.

    Parameters
    ----------
    patterns, dictionary : (N, P) and (M, P) float32, of length 1 (`unit_patterns`)
    count : how many to keep of each pattern
    so_far : scores and rows that earlier parts gave, which have as many columns; not changed
    first : number of the dictionary's first row
    precision : of the products on a GPU. In bfloat16 scores are right to about 1e-2: keep more, then compare those
        again. The CPU always takes float32, whose sums differ by 1e-6 with the shape of the product

    Returns
    -------
    scores : (N, count) float32, falling; −∞ where there were too few
    rows : (N, count) int64, of the dictionary; on the CPU the earlier first where scores are equal; −1 where too few

    Raises
    ------
    ValueError
        Shapes that do not fit, a count below 1, values that are not finite.
    """
    chosen = resolve(backend, "pattern_matching", gpu=True)
    for name, shape in (("patterns", np.shape(patterns)), ("dictionary", np.shape(dictionary))):
        if len(shape) != 2 or shape[1] != np.shape(patterns)[1]:
            raise ValueError(f"{name} must be (…, {np.shape(patterns)[-1]}), not {tuple(shape)}")
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    before = nothing_yet(len(patterns), count) if so_far is None else so_far
    if before[0].shape != (len(patterns), count) or before[1].shape != before[0].shape:
        raise ValueError(f"so_far must be two arrays ({len(patterns)}, {count}), not {before[0].shape}")
    if chosen == "gpu":
        from matscreen.kernels.pattern_matching import gpu

        (a, b, scores, rows), back = on_gpu(patterns, dictionary, *before)
        best = gpu.best(a, b, scores, rows, first, precision)
        return back(best[0]), back(best[1])
    (a, b, scores, rows), back = as_numpy(patterns, dictionary, *before)
    run = reference.best if chosen == "reference" else cpu.best
    found = run(np.asarray(a, np.float32), np.asarray(b, np.float32), scores, rows, first)
    return back(found[0]), back(found[1])
