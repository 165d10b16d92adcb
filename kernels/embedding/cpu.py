"""Float32 in Numba: each element adds its rows, which stay in the cache, to a few sums."""

import numba
import numpy as np

from matscreen.kernels.embedding.tables import Tables


def embed(places: np.ndarray, fractions: np.ndarray, tables: Tables) -> np.ndarray:
    """See the package. A composition's embedding does not depend on the others given."""
    out = np.empty((len(places), tables.width), np.float32)
    _embed(places.astype(np.int32, copy=False), fractions.astype(np.float32, copy=False), tables, out)
    return out


@numba.njit(cache=True, nogil=True)
def _embed(places, fractions, tables, out):
    pairs, dense, roots = tables.left.shape[1], tables.linear.shape[1], tables.root.shape[1]
    factor = np.empty(pairs, np.float32)
    for n in range(len(places)):
        row = out[n]
        root, presence = row[pairs + dense : pairs + dense + roots], row[pairs + dense + roots :]
        root[:] = 0
        presence[:] = 0
        add_up(places[n], fractions[n], tables, factor, row[:pairs], row[pairs : pairs + dense], root, presence)


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def add_up(places, fractions, tables, factor, pair, linear, root, presence):
    """The terms of one composition: pair and linear are set, to root and presence (may be the same) is added.

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
    for j in range(len(pair)):
        pair[j] *= factor[j]
    for j in range(len(linear)):
        linear[j] = max(linear[j], np.float32(0))


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _add(times, row, total):
    for j in range(len(total)):
        total[j] += times * row[j]
