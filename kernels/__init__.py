"""The compiled inner loops: one folder a kernel, each with a NumPy reference, a CPU and (where it pays) a GPU version.

Kernels take and return arrays. They know nothing of files, clusters or chemistry: an element is a label.
"""

from matscreen.kernels.shared_cache import lock_the_cache

lock_the_cache()
