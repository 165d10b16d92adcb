"""Numba: half of the reciprocal lattice (the other half is as strong), phases from tables of powers for each site.

One call does all of it: for small cells it takes some ten microseconds, which a few NumPy calls more would double.
"""

import numpy as np
from numba import njit

from matscreen.kernels.powder_pattern.reference import REACH, SAME_ANGLE

LOG_2 = np.log(2)


@njit(cache=True, nogil=True, error_model="numpy")
def peaks(lattice, sites, species, occupied, scattering, wavelength, nearest, furthest):
    """See `reference`."""
    reach = np.empty(3, np.int64)
    for axis in range(3):
        a, b, c = lattice[axis]
        reach[axis] = int(furthest * np.sqrt(a * a + b * b + c * c) + 1e-9)
    most = (reach[0] + 1) * (2 * reach[1] + 1) * (2 * reach[2] + 1)
    angles, strengths = np.empty(most), np.empty(most)
    order = np.argsort(species, kind="mergesort")
    sorted_sites = sites[order], species[order], occupied[order]
    found = half(lattice, reach, *sorted_sites, scattering, wavelength, nearest, furthest, angles, strengths)
    rank = np.argsort(angles[:found])
    kept = 0
    begin = -1.0
    together = np.empty(found)
    places = np.empty(found)
    for n in rank:
        if angles[n] - begin > SAME_ANGLE:
            places[kept], together[kept] = angles[n], strengths[n]
            kept += 1
        else:
            together[kept - 1] += strengths[n]
        begin = angles[n]
    return places[:kept], together[:kept]


@njit(cache=True, nogil=True, error_model="numpy")
def powers(sites, axis, reach):
    """(2 reach + 1, N) cosines and sines of 2π h x for h from −reach to reach."""
    cosines, sines = np.empty((2 * reach + 1, len(sites))), np.empty((2 * reach + 1, len(sites)))
    for j in range(len(sites)):
        turn = 2 * np.pi * sites[j, axis]
        c, s = np.cos(turn), np.sin(turn)
        x, y = 1.0, 0.0
        for h in range(reach + 1):
            cosines[reach + h, j], sines[reach + h, j] = x, y
            cosines[reach - h, j], sines[reach - h, j] = x, -y
            x, y = x * c - y * s, x * s + y * c
    return cosines, sines


@njit(cache=True, nogil=True, error_model="numpy")
def half(lattice, reach, sites, species, occupied, scattering, wavelength, nearest, furthest, angles, strengths):
    """Fill in the reflections whose first index that is not 0 is positive; how many. Sites are sorted by species."""
    a, b, c = lattice
    first, second, third = np.cross(b, c), np.cross(c, a), np.cross(a, b)
    volume = a[0] * first[0] + a[1] * first[1] + a[2] * first[2]
    first, second, third = first / volume, second / volume, third / volume
    a_real, a_imaginary = powers(sites, 0, reach[0])
    b_real, b_imaginary = powers(sites, 1, reach[1])
    c_real, c_imaginary = powers(sites, 2, reach[2])
    ab_real, ab_imaginary = np.empty(len(sites)), np.empty(len(sites))
    hs, ks, ls = reach
    found = 0
    for h in range(hs + 1):
        for k in range(-ks if h else 0, ks + 1):
            for j in range(len(sites)):
                x, y, u, v = a_real[h + hs, j], a_imaginary[h + hs, j], b_real[k + ks, j], b_imaginary[k + ks, j]
                ab_real[j], ab_imaginary[j] = occupied[j] * (x * u - y * v), occupied[j] * (x * v + y * u)
            for l in range(-ls if h or k else 1, ls + 1):
                x = h * first[0] + k * second[0] + l * third[0]
                y = h * first[1] + k * second[1] + l * third[1]
                z = h * first[2] + k * second[2] + l * third[2]
                length = np.sqrt(x * x + y * y + z * z)
                if length < nearest or length > furthest:
                    continue
                square = length * length / 4
                real, imaginary, j = 0.0, 0.0, 0
                while j < len(sites):
                    kind, p, q = species[j], 0.0, 0.0
                    while j < len(sites) and species[j] == kind:
                        p += ab_real[j] * c_real[l + ls, j] - ab_imaginary[j] * c_imaginary[l + ls, j]
                        q += ab_real[j] * c_imaginary[l + ls, j] + ab_imaginary[j] * c_real[l + ls, j]
                        j += 1
                    if p * p + q * q > 1e-20:  # most of a centred cell's reflections are extinct
                        decay = 0.0
                        for t in range(1, scattering.shape[1], 2):
                            decay += scattering[kind, t] * np.exp(-scattering[kind, t + 1] * square)
                        factor = scattering[kind, 0] - 41.78214 * square * decay
                        real += factor * p
                        imaginary += factor * q
                sine = min(wavelength * length / 2, 1.0)
                theta = np.arcsin(sine)
                double = 1 - 2 * sine * sine
                lorentz = (1 + double * double) / (sine * sine * np.sqrt(1 - sine * sine))
                angles[found] = np.degrees(2 * theta)
                strengths[found] = 2 * (real * real + imaginary * imaginary) * lorentz
                found += 1
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def gaussian_profile(angles, intensities, grid, width):
    """See `reference`."""
    profile = np.zeros(len(grid))
    for k in range(len(angles)):
        for n in range(np.searchsorted(grid, angles[k] - REACH * width), len(grid)):
            away = (grid[n] - angles[k]) / width
            if away > REACH:
                break
            profile[n] += intensities[k] * np.exp(-4 * LOG_2 * away * away)
    return profile
