"""The figures of the README, measured against their peers in the same run: `python -m bench`."""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before NumPy and PyTorch are loaded: one core a product, for us and for the peers
