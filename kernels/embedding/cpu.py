"""Float32 in Numba: each element adds its rows, which stay in the cache, to a few sums."""

import numba
import numpy as np

from matscreen.kernels.embedding.tables import Tables


def embed(places: np.ndarray, fractions: np.ndarray, tables: Tables) -> np.ndarray:
    """See the package. A composition's embedding does not depend on the others given."""
    out = np.empty((len(places), tables.width), np.float32)
    _embed(places.astype(np.int32, copy=False), fractions.astype(np.float32, copy=False), tables, out)
    return out


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _embed(places, fractions, tables, out):
    pairs, dense, roots = tables.left.shape[1], tables.linear.shape[1], tables.root.shape[1]
    factor = np.empty(pairs, np.float32)
    for n in range(len(places)):
        pair = out[n, :pairs]
        linear = out[n, pairs : pairs + dense]
        root = out[n, pairs + dense : pairs + dense + roots]
        presence = out[n, pairs + dense + roots :]
        factor[:] = 0
        pair[:] = 0
        root[:] = 0
        presence[:] = 0
        linear[:] = tables.bias
        for k in range(places.shape[1]):
            x = fractions[n, k]
            if x != 0:
                place = places[n, k]
                _add(x, tables.left[place], pair)
                _add(x, tables.right[place], factor)
                _add(x, tables.linear[place], linear)
                _add(np.sqrt(x), tables.root[place], root)
                _add(np.float32(1), tables.presence[place], presence)
        for j in range(pairs):
            pair[j] *= factor[j]
        for j in range(dense):
            linear[j] = max(linear[j], np.float32(0))


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _add(times, row, total):
    for j in range(len(total)):
        total[j] += times * row[j]
