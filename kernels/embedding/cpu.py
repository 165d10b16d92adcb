"""Float32 in Numba: each element adds its rows, which stay in the cache, to a few sums."""

import numba
import numpy as np

from matscreen.kernels.embedding.reference import MOST_ATOMS, MOST_ELEMENTS
from matscreen.kernels.embedding.tables import Tables, sums
from matscreen.kernels.features.reference import WHOLE


def embed(places: np.ndarray, fractions: np.ndarray, tables: Tables) -> np.ndarray:
    """See the package. A composition's embedding does not depend on the others given."""
    terms = (tables.root, tables.presence, tables.stoichiometry)
    ends = np.cumsum([0, *(term.shape[1] for term in terms)])
    apart = [np.pad(term, ((0, 0), (at, ends[-1] - at - term.shape[1]))) for term, at in zip(terms, ends, strict=False)]
    near = np.empty((len(places), tables.left.shape[1] + tables.linear.shape[1]), np.float32)
    further = np.empty((len(places), ends[-1]), np.float32)
    places, fractions = places.astype(np.int32, copy=False), fractions.astype(np.float32, copy=False)
    add_up(places, fractions, sums(tables, *apart), near, further)
    return np.concatenate([near, further], axis=1)


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def add_up(places, fractions, rows, near, further):
    """Fill rows of `near` with the terms of pairs and of the ReLU, those of `further` with the sum of the others.

    rows : `Sums`
    """
    table, start, root, presence, stoichiometry = rows.near, rows.start, rows.root, rows.presence, rows.stoichiometry
    known, order, pairs = rows.known, rows.order, rows.pairs
    both, width, wide = 2 * pairs, len(start) - 2 * pairs, root.shape[1]
    total, others = np.empty(len(start), np.float32), np.empty(wide, np.float32)
    for n in range(len(places)):
        own = _row(places[n], fractions[n], known, order)
        for j in range(len(start)):
            total[j] = start[j]
        for j in range(wide):
            others[j] = stoichiometry[own, j]
        for k in range(0, places.shape[1], 4):
            p, x = _four(places[n], k), _four(fractions[n], k)
            _add(x, table, p, total)
            _add(_roots(x), root, p, others)
            _add(_there(x), presence, p, others)
        for j in range(pairs):
            near[n, j] = total[j] * total[pairs + j]
        for j in range(width):
            near[n, pairs + j] = max(total[both + j], np.float32(0))
        for j in range(wide):
            further[n, j] = others[j]


@numba.njit(cache=True, nogil=True)
def _four(row, k):
    """Four numbers of a row from number k on, 0 after its end."""
    left, none = len(row) - k, row.dtype.type(0)
    return row[k], row[k + 1] if left > 1 else none, row[k + 2] if left > 2 else none, row[k + 3] if left > 3 else none


@numba.njit(cache=True, nogil=True)
def _roots(x):
    return np.sqrt(x[0]), np.sqrt(x[1]), np.sqrt(x[2]), np.sqrt(x[3])


@numba.njit(cache=True, nogil=True)
def _there(x):
    return np.float32(x[0] > 0), np.float32(x[1] > 0), np.float32(x[2] > 0), np.float32(x[3] > 0)


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _add(x, table, p, total):
    """total += Σ x_k table[p_k], of four at once: the sum is read and written once for them."""
    a, b, c, d = x
    i, k, l, m = p
    for j in range(len(total)):
        total[j] = total[j] + a * table[i, j] + b * table[k, j] + c * table[l, j] + d * table[m, j]


@numba.njit(cache=True, nogil=True)
def _row(places, fractions, known, order):
    if len(known) == 0:
        return 0
    key = _key(places, fractions, order)
    at = np.searchsorted(known, key)
    return at if at < len(known) and known[at] == key else len(known)


@numba.njit(cache=True, nogil=True)
def stoichiometry_keys(places, fractions, order):
    """See the package."""
    keys = np.empty(len(places), np.int64)
    for n in range(len(places)):
        keys[n] = _key(places[n], fractions[n], order)
    return keys


@numba.njit(cache=True, nogil=True)
def _key(places, fractions, order):
    for atoms in range(1, MOST_ATOMS + 1):
        whole = True
        for k in range(len(places)):
            amount = np.float64(fractions[k]) * atoms
            if amount > 0 and not (amount > 0.5 and abs(amount - np.rint(amount)) < WHOLE):
                whole = False
                break
        if whole:
            return _digits(places, fractions, order, atoms)
    return np.int64(0)


@numba.njit(cache=True, nogil=True)
def _digits(places, fractions, order, atoms):
    key, present = np.int64(0), 0
    for k in range(len(places)):
        if fractions[k] > 0:
            present += 1
            digit = 0
            for other in range(len(places)):
                digit += fractions[other] > 0 and order[places[other]] < order[places[k]]
            if digit < MOST_ELEMENTS:
                key += np.int64(np.rint(np.float64(fractions[k]) * atoms)) << (8 * digit)
    return key if present <= MOST_ELEMENTS else np.int64(0)
