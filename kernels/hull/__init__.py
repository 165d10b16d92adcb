"""Distance to the lower convex hull: the lowest energy that a mixture of known phases of the same composition has.

    E_hull(x) = min Σ λ_p e_p   subject to   Σ λ_p f_p = x,  λ ≥ 0

f_p are fractions of atoms, e_p formation energies in eV/atom, and the pure elements always belong to the phases, at 0.
λ_p is the fraction of atoms that phase p takes. Everything is exact (no sampling): the answer is a facet of the hull.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from matscreen.kernels.backend import Backend, as_numpy, resolve
from matscreen.kernels.hull import cpu, reference
from matscreen.kernels.hull.index import MAX_ELEMENTS, HullIndex, build_index, index_all

__all__ = [
    "MAX_ELEMENTS",
    "HullIndex",
    "build_index",
    "decomposition_energies",
    "decompositions",
    "hull_energies",
    "hull_energy",
]


def hull_energy(
    fractions: np.ndarray, phase_fractions: np.ndarray, energies: np.ndarray, backend: Backend = "auto"
) -> np.ndarray:
    """Hull energy of compositions of one chemical system.

    Parameters
    ----------
    fractions : (N, k) float, k <= 16: fractions of atoms of the compositions; each row sums to 1
    phase_fractions : (P, k) float: the same of the known phases (P may be 0); the pure elements need not be among them
    energies : (P,) float, eV/atom

    Returns
    -------
    (N,) float64, eV/atom; at most 0, since the pure elements are at 0. A torch tensor if one was given

    Raises
    ------
    ValueError
        Shapes that do not fit, negative fractions, rows that do not sum to 1, energies that are not finite.

    >>> hull_energy(np.array([[0.5, 0.5]]), np.array([[1 / 3, 2 / 3]]), np.array([-1.2]))
    array([-0.9])
    """
    given, back = as_numpy(fractions, phase_fractions, energies)
    fractions, phase_fractions, energies = (np.asarray(a, np.float64) for a in given)
    _check_fractions(fractions, "fractions")
    phase_fractions = phase_fractions.reshape(-1, fractions.shape[1])
    _check_fractions(phase_fractions, "phase_fractions")
    if energies.shape != (len(phase_fractions),) or not np.isfinite(energies).all():
        raise ValueError(f"energies must be ({len(phase_fractions)},) finite numbers, not {energies.shape}")
    if resolve(backend, "hull") == "reference":
        return back(reference.hull_energy(fractions, phase_fractions, energies))  # type: ignore[no-any-return]
    return back(cpu.hull_energy(fractions, phase_fractions, energies))  # type: ignore[no-any-return]


def hull_energies(
    elements: np.ndarray, amounts: np.ndarray, index: HullIndex, threads: int = 1, backend: Backend = "auto"
) -> np.ndarray:
    """Hull energy of compositions of many chemical systems, each against the phases of `index` within its system.

    Consecutive rows with the same elements share the work: give whole chemical systems where you can.

    Parameters
    ----------
    elements : (N, K) uint8, K <= 16: labels 1…127 by rising value, then 0 in empty places
    amounts : (N, K), atoms of each; 0 in empty places. Any numeric dtype
    index : from `build_index`
    threads : chemical systems are spread over so many threads (the GIL is not held); the result does not depend on it

    Returns
    -------
    (N,) float64, eV/atom
    """
    _check_compositions(elements, amounts)
    if resolve(backend, "hull") == "reference":
        return reference.hull_energies(elements, amounts, index)
    runs = cpu.runs(elements)
    result = np.empty(len(elements))
    cuts = np.linspace(0, len(runs) - 1, min(threads, max(len(runs) - 1, 1)) + 1).astype(np.int64)

    def solve(first: int, last: int) -> None:
        """Runs `first` to `last` (exclusive), into their rows of `result`."""
        cpu.hull_energies(elements, amounts, runs[first : last + 1], index, result)

    if len(cuts) <= 2:
        solve(0, len(runs) - 1)
    else:
        with ThreadPoolExecutor(len(cuts) - 1) as pool:
            list(pool.map(solve, cuts[:-1], cuts[1:]))
    if np.isnan(result).any():
        raise ArithmeticError(f"no hull facet found for row {int(np.isnan(result).argmax())}: please report its phases")
    return result


def decompositions(
    elements: np.ndarray, amounts: np.ndarray, index: HullIndex
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hull energy and the phases that make it up, each row solved by itself.

    Parameters
    ----------
    elements, amounts, index : as in `hull_energies`

    Returns
    -------
    energies : (N,) float64, eV/atom
    phases : (N, K) int64: row of the phase in the table that `index` was built from; −z for the pure element z; 0 is no
        element's label, so `fractions` alone says which places count
    fractions : (N, K) float64: fraction of atoms that each phase takes, largest first; 0 in places not taken
    """
    _check_compositions(elements, amounts)
    return cpu.decompositions(elements, amounts, index)


def decomposition_energies(
    elements: np.ndarray, amounts: np.ndarray, energies: np.ndarray, threads: int = 1, backend: Backend = "auto"
) -> np.ndarray:
    """Energy of each compound against the hull of all the *others* and the elements (Bartel et al. 2020).

    At most 0 for a stable compound, and then by how much it is stable; for any other the distance to the hull.

    Parameters
    ----------
    elements : (P, K) uint8, K <= 16: labels 1…127 by rising value, then 0 in empty places
    amounts : (P, K), atoms of each; 0 in empty places. Any numeric dtype
    energies : (P,) float, formation energy in eV/atom, finite
    threads : chemical systems are spread over so many threads; the result does not depend on it

    Returns
    -------
    (P,) float64, eV/atom
    """
    _check_compositions(elements, amounts)
    if resolve(backend, "hull") == "reference":
        competing = reference.competing_energies(elements, amounts, energies)
    else:
        competing = cpu.competing_energies(elements, amounts, index_all(elements, amounts, energies), threads)
    if np.isnan(competing).any():
        raise ArithmeticError(f"no hull facet found for row {int(np.isnan(competing).argmax())}")
    distance: np.ndarray = energies - competing
    return distance


def _check_fractions(fractions: np.ndarray, name: str) -> None:
    if fractions.ndim != 2 or not 1 <= fractions.shape[1] <= MAX_ELEMENTS:
        raise ValueError(f"{name} must be (N, k) with k from 1 to {MAX_ELEMENTS}, not {fractions.shape}")
    if not ((fractions >= 0).all() and np.allclose(fractions.sum(axis=1), 1, atol=1e-9)):
        raise ValueError(f"every row of {name} must be non-negative and sum to 1")


def _check_compositions(elements: np.ndarray, amounts: np.ndarray) -> None:
    if elements.ndim != 2 or elements.shape != amounts.shape or elements.dtype != np.uint8:
        raise ValueError(f"elements (uint8) and amounts must both be (N, K), not {elements.shape}, {amounts.shape}")
    if elements.shape[1] > MAX_ELEMENTS:
        raise ValueError(f"at most {MAX_ELEMENTS} elements in a composition, not {elements.shape[1]}")
    if elements.size and elements.max() > 127:
        raise ValueError(f"labels of elements are 1 to 127, not {elements.max()}")
