"""All benchmarks, one after the other, each in its own process so that none inherits another's caches."""

import subprocess
import sys

for name in (
    "enumeration",
    "features",
    "chemistry",
    "hull",
    "mlp_cpu",
    "gradients",
    "filters2d",
    "disorientation",
    "ebsd",
    "powder",
    "rings",
    "padnet",
    "cascade",
    "five_elements",
    "scan",
    "timeline",
    "search",
    "memory",
    "scaling",
    "likelihood",
    "recovery",
    "elsewhere",
    "refine",
):
    subprocess.run([sys.executable, "-m", f"bench.{name}"], check=True)
