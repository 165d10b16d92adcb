"""Float32 in Numba: each element adds its rows, which stay in the cache, to a few sums."""

import numba
import numpy as np

from matscreen.kernels.embedding.reference import MOST_ATOMS, MOST_ELEMENTS
from matscreen.kernels.embedding.tables import Tables
from matscreen.kernels.features.reference import WHOLE


def embed(places: np.ndarray, fractions: np.ndarray, tables: Tables) -> np.ndarray:
    """See the package. A composition's embedding does not depend on the others given."""
    out = np.empty((len(places), tables.width), np.float32)
    _embed(places.astype(np.int32, copy=False), fractions.astype(np.float32, copy=False), tables, out)
    return out


@numba.njit(cache=True, nogil=True)
def _embed(places, fractions, tables, out):
    pairs, dense = tables.left.shape[1], tables.linear.shape[1]
    roots, there = tables.root.shape[1], tables.presence.shape[1]
    factor = np.empty(pairs, np.float32)
    a, b, c = pairs + dense, pairs + dense + roots, pairs + dense + roots + there
    for n in range(len(places)):
        row = out[n]
        row[a:] = 0
        add_up(places[n], fractions[n], tables, factor, row[:pairs], row[pairs:a], row[a:b], row[b:c], row[c:])


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def add_up(places, fractions, tables, factor, pair, linear, root, presence, stoichiometry):
    """The terms of one composition: pair and linear are set, to the others (which may be the same) is added.

    factor : of the width of pair, to write on
    """
    factor[:] = 0
    pair[:] = 0
    linear[:] = tables.bias
    for k in range(len(places)):
        x = fractions[k]
        if x != 0:
            place = places[k]
            _add(x, tables.left[place], pair)
            _add(x, tables.right[place], factor)
            _add(x, tables.linear[place], linear)
            _add(np.sqrt(x), tables.root[place], root)
            _add(np.float32(1), tables.presence[place], presence)
    _add(np.float32(1), tables.stoichiometry[_row(places, fractions, tables)], stoichiometry)
    for j in range(len(pair)):
        pair[j] *= factor[j]
    for j in range(len(linear)):
        linear[j] = max(linear[j], np.float32(0))


@numba.njit(cache=True, nogil=True)
def _row(places, fractions, tables):
    if len(tables.known) == 0:
        return 0
    key = _key(places, fractions, tables.order)
    at = np.searchsorted(tables.known, key)
    return at if at < len(tables.known) and tables.known[at] == key else len(tables.known)


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
            if amount > 0:
                whole = whole and amount > 0.5 and abs(amount - np.rint(amount)) < WHOLE
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


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _add(times, row, total):
    for j in range(len(total)):
        total[j] += times * row[j]
