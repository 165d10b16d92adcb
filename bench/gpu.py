"""Every Triton kernel on this machine's GPU: right first, then timed against its peers and its limit.

    python -m bench.gpu [--quick]

Needs PyTorch, Triton, Numba, PyArrow and NumPy only; SciPy is a peer where it is there, and models that ship are timed
where safetensors is. Where matscreen is not installed, make the package first:

    mkdir -p .house/matscreen && ln -sfn ../../engine ../../kernels ../../models .house/matscreen/
    PYTHONPATH=.house:. python -m bench.gpu

Writes `bench/results/DEVICE-DATE.json`. Without a CUDA device it says so and exits with 1.
"""

import argparse
import importlib.util
import itertools
import json
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from bench.harness import RESULTS, dense_network, record
from matscreen.kernels import enumeration
from matscreen.kernels.backend import gpu_here
from matscreen.kernels.mlp import pack
from matscreen.kernels.parity import checks

ELEMNET = (86, *(4 * (1024,)), *(3 * (512,)), *(3 * (256,)), *(3 * (128,)), 64, 64, 32, 1)
FLOP = 2 * sum(a * b for a, b in itertools.pairwise(ELEMNET[1:]))
"""Of a composition after the gathered first layer."""
SPACE = 446_597_140
NONE = np.zeros(0, np.uint8)
Row = dict[str, Any]


def milliseconds(run: Callable[[], object], quick: bool) -> float:
    """Median of a call by device events, caches of the device flushed in between."""
    from triton.testing import do_bench

    return float(do_bench(run, warmup=20 if quick else 100, rep=50 if quick else 500, return_mode="median"))


def row(kernel: str, size: str, ms: float, work: float, unit: str, limit: float, peers: dict[str, float]) -> Row:
    """A line of the table: `work` a call of `unit`, the limit in the same unit a second, peers in milliseconds."""
    rate = work / ms * 1e3
    found = {"kernel": kernel, "size": size, "ms": ms, "rate": rate, "unit": f"{unit}/s", "of the limit": rate / limit}
    return found | {f"times faster than {peer}": theirs / ms for peer, theirs in peers.items()}


def ceilings(quick: bool) -> dict[str, float]:
    """Bytes/s of a copy, read and write counted, and FLOP/s of bf16 products of random numbers."""
    source = torch.randn(2**28, device="cuda")
    target = torch.empty_like(source)
    copy = 2 * source.nbytes / milliseconds(lambda: target.copy_(source), quick) * 1e3
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return {"copy": copy, "bf16": 2 * 8192**3 / milliseconds(lambda: a @ b, quick) * 1e3}


def networks(limits: dict[str, float], quick: bool) -> list[Row]:
    """ElemNet from composition numbers to energies; peers take the dense fractions, made beforehand."""
    from matscreen.kernels.mlp import gpu, weights

    rng = np.random.default_rng(0)
    layers = pack((rng.normal(size=(o, i)) * np.sqrt(2 / i), np.zeros(o)) for i, o in itertools.pairwise(ELEMNET))
    ratios = enumeration.ratio_table(4, 10)
    places, table = torch.arange(86, dtype=torch.int32, device="cuda"), torch.from_numpy(ratios).cuda()
    count = 2**18 if quick else 2**22
    start = enumeration.block_size(86, 0, 4, len(ratios)) // 3
    sample = np.eye(86, dtype=np.float32)[rng.integers(0, 86, (512, 4))].mean(axis=1)
    module = dense_network(ELEMNET).cuda().bfloat16()
    best = {}
    with torch.no_grad():
        for name, peer in (
            ("torch", module),
            ("torch.compile", torch.compile(module, mode="max-autotune-no-cudagraphs", dynamic=False)),
        ):
            times = []
            for batch in (8192, 65_536) if quick else (8192, 32_768, 131_072):
                inputs = torch.rand(batch, 86, device="cuda", dtype=torch.bfloat16)
                times.append(milliseconds(lambda peer=peer, inputs=inputs: peer(inputs), quick) * count / batch)
            best[f"{name}, bf16, best batch"] = min(times)
    found, exact = [], None
    modern = torch.cuda.get_device_capability()[0] >= 9
    for precision in ("fp32", "tf32", "bf16", "fp8") if modern else ("fp32", "tf32", "bf16"):
        net = weights.network(layers, precision, "cuda", sample)  # type: ignore[arg-type]
        predict = gpu.ranker(places, table, net)
        energies = predict(start, start + 2**16)
        exact = energies if exact is None else exact
        n = count if precision in ("bf16", "fp8") else count // 8
        ms = milliseconds(lambda predict=predict, n=n: predict(start, start + n), quick)
        peers = {name: theirs * n / count for name, theirs in best.items()} if precision in ("bf16", "fp8") else {}
        found.append(row(f"mlp, ElemNet, {precision}", f"{n:,}", ms, n, "compositions", limits["bf16"] / FLOP, peers))
        found[-1]["largest difference from fp32, of the spread"] = float((energies - exact).abs().max() / exact.std())
        found[-1]["seconds for all 446,597,140"] = SPACE / found[-1]["rate"]
    return found


def disorientations(limits: dict[str, float], quick: bool) -> list[Row]:
    """Pairs, backward and the matrix for 432; the peer is the search over 24 operations in PyTorch."""
    from matscreen.kernels.disorientation import SYMMETRY, gpu

    count = 2**20 if quick else 2**25
    q1, q2 = (torch.nn.functional.normalize(torch.randn(count, 4, device="cuda"), dim=1) for _ in range(2))
    rotations = torch.tensor(np.array(SYMMETRY["432"]), dtype=torch.float32, device="cuda")

    def in_torch(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        (w, x, y, z), (s, i, j, k) = a.unbind(1), b.unbind(1)
        turns = torch.stack(
            [w * s + x * i + y * j + z * k, x * s - w * i - y * k + z * j, y * s - w * j + x * k - z * i,
             z * s - w * k - x * j + y * i], dim=1,
        )  # fmt: skip
        return 2 * torch.arccos((turns @ rotations.T).abs().amax(dim=1).clamp(max=1))

    few = 2**20
    compiled = torch.compile(in_torch)
    peers = {
        name: milliseconds(lambda run=run: run(q1[:few], q2[:few]), quick) * count / few
        for name, run in (("torch", in_torch), ("torch.compile", compiled))
    }
    forward = milliseconds(lambda: gpu.only_angles(q1, q2, rotations, True), quick)
    searched = milliseconds(lambda: gpu.angles(q1, q2, rotations), quick)
    _, nearest = gpu.angles(q1, q2, rotations)
    outer = torch.rand(count, device="cuda")
    backward = milliseconds(lambda: gpu.gradients(q1, q2, rotations, nearest, outer), quick)
    side = 4096 if quick else 16_384
    matrix = milliseconds(lambda: gpu.matrix(q1[:side], q2[:side], rotations, True), quick)
    pairs = f"{count:,} pairs"
    return [
        row("disorientation, 432", pairs, forward, count, "pairs", limits["copy"] / 36, peers),
        row("disorientation, by search, with which", pairs, searched, count, "pairs", limits["copy"] / 40, peers),
        row("disorientation, backward", pairs, backward, count, "pairs", limits["copy"] / 72, {}),
        row("disorientation, matrix", f"{side:,}²", matrix, side**2, "pairs", limits["copy"] / 4, {}),
    ]


def filters(limits: dict[str, float], quick: bool) -> list[Row]:
    """A stack of 2048 × 2048 images; peers are SciPy on one core, an image at a time, and PyTorch's pooling."""
    try:
        from scipy import ndimage
    except ImportError:
        ndimage = None
    from bench.harness import median_seconds
    from matscreen.kernels.filters2d import gpu
    from matscreen.kernels.filters2d.windows import window

    count, side = (2, 1024) if quick else (32, 2048)
    stack = torch.rand(count, side, side, device="cuda").exp()
    image = stack[0].cpu().numpy()
    found = []
    for f in (50, 200):
        where = window((side, side), f, "reflect", 0)
        pooled = milliseconds(lambda f=f: -torch.nn.functional.max_pool2d(-stack[:1], f, 1), quick) * count
        for name, run, scipy, planes in (
            ("minimum", gpu.minimum, "minimum_filter", 2),
            ("mean", gpu.mean, "uniform_filter", 2),
            ("slopes", gpu.slopes, "", 5),
        ):
            ms = milliseconds(lambda run=run, where=where: run(stack, None, where), quick)
            peers = {"PyTorch, pooling": pooled} if name == "minimum" else {}
            if ndimage is not None and scipy:
                theirs = getattr(ndimage, scipy)
                peers["SciPy, one core"] = 1e3 * count * median_seconds(lambda s=theirs, f=f: s(image, f), 1)
            work = planes * stack.nbytes
            size = f"{count} × {side}²"
            found.append(row(f"filters2d, {name}, f = {f}", size, ms, work, "bytes", limits["copy"], peers))
    return found


def patterns(limits: dict[str, float], quick: bool) -> list[Row]:
    """Simulated patterns of 60 × 60 pixels, and measured ones compared with them; a peer is float32."""
    from matscreen.kernels.master_pattern import gpu as projection
    from matscreen.kernels.pattern_matching import gpu as matching

    count, many = (2048, 4096) if quick else (16_384, 65_536)
    master = torch.rand(2, 1001, 1001, device="cuda")
    q = torch.nn.functional.normalize(torch.randn(count, 4, device="cuda"), dim=1)
    centre = torch.tensor([[0.42, 0.21, 0.5]], device="cuda")
    made = milliseconds(lambda: projection.project(master, q, centre, (60, 60), np.eye(3)), quick)
    a, b = (torch.nn.functional.normalize(torch.randn(n, 3600, device="cuda"), dim=1) for n in (count, many))
    scores = torch.full((count, 20), -torch.inf, device="cuda")
    rows = torch.full((count, 20), -1, dtype=torch.int64, device="cuda")
    half, whole = (
        milliseconds(lambda kind=kind: matching.best(a, b, scores, rows, 0, kind), quick)
        for kind in ("bfloat16", "float32")
    )
    size = f"{count:,} × {many:,}, 20 kept"
    return [
        row("master_pattern", f"{count:,} of 60²", made, count, "patterns", limits["copy"] / 14_400, {}),
        row(
            "pattern_matching, bf16", size, half, count * many, "comparisons", limits["bf16"] / 7200, {"float32": whole}
        ),
    ]


def descriptions(limits: dict[str, float], quick: bool) -> list[Row]:
    """What networks are told of compositions: attributes, beside a core's, and embeddings, beside dense products."""
    from matscreen.kernels.embedding import gpu as embedding
    from matscreen.kernels.features import composition_features
    from matscreen.kernels.features import gpu as features

    count, few = (2**16, 2**12) if quick else (2**20, 2**16)
    ratios = enumeration.ratio_table(4, 10)
    ranks = np.sort(np.random.default_rng(0).integers(0, enumeration.block_size(86, 0, 4, len(ratios)), count))
    free = np.array([z for z in range(1, 95) if z not in (2, 10, 18, 84, 85, 86, 87, 88)], np.uint8)
    elements, amounts = enumeration.unrank_each(ranks, free, NONE, ratios, 4)
    composition_features(elements[:few], amounts[:few], backend="cpu")
    started = time.perf_counter()
    composition_features(elements[:few], amounts[:few], backend="cpu")
    core = 1e3 * (time.perf_counter() - started) * count / few
    labels, atoms = torch.from_numpy(elements).cuda(), torch.from_numpy(amounts.astype(np.float64)).cuda()
    tables = features.known(labels.device)
    told = milliseconds(lambda: features.told(labels, atoms, tables), quick)

    place = np.zeros(128, np.int32)
    place[free] = np.arange(86)
    places, x = torch.from_numpy(place[elements]).cuda(), (atoms / atoms.sum(dim=1, keepdim=True)).float()
    learned = [torch.randn(86, width, device="cuda") for width in (256, 256, 256)]
    learned += [torch.randn(256, device="cuda"), *(torch.randn(86, 64, device="cuda") for _ in range(2))]
    left, right, linear, bias, root, presence = learned
    order = torch.randperm(86, device="cuda").to(torch.int16)
    keys = embedding.stoichiometry_keys(places, x, order)
    known = torch.unique(keys)[::2].contiguous()
    stoichiometry = torch.randn(len(known) + 1, 64, device="cuda")
    tables_of = embedding.Tables(*learned, stoichiometry, known, order)
    of_each = embedding.rows(keys, known)
    dense = torch.zeros(count, 86, device="cuda").scatter_add_(1, places.long(), x)

    def products() -> torch.Tensor:
        parts = (dense @ left) * (dense @ right), torch.relu(dense @ linear + bias)
        further = dense.sqrt() @ root, (dense > 0).float() @ presence, stoichiometry[of_each]
        return torch.cat([*parts, *further], dim=1)

    summed = milliseconds(lambda: embedding.embed(places, x, tables_of), quick)
    peer = {"dense products, float32, stoichiometries known": milliseconds(products, quick)}
    width = 256 + 256 + 64 + 64 + 64
    return [
        row("features", f"{count:,}", told, count, "compositions", limits["copy"] / (145 * 8), {"a core": core}),
        row("embedding", f"{count:,} × {width}", summed, count, "compositions", limits["copy"] / (4 * width), peer),
    ]


def first_pass(limits: dict[str, float], quick: bool) -> list[Row]:
    """What a scan asks of the device: arrays of a chunk in, energies out, by the models that ship; peer: a core."""
    if importlib.util.find_spec("safetensors") is None:
        print("no safetensors here: models that ship are not timed")
        return []
    from matscreen.models import load
    from matscreen.models.catalogue import student_file

    default = load()
    count, few = (2**15, 2**9) if quick else (2**20, 2**13)
    ratios = enumeration.ratio_table(4, 10)
    start = enumeration.block_size(86, 0, 4, len(ratios)) // 3
    elements, amounts = enumeration.unrank(start, start + count, default.elements.astype(np.uint8), NONE, ratios, 4)
    threads = torch.get_num_threads()
    found = []
    for model in (load("elemnet-oqmd"), default, load(student_file(default.source))):
        gathered = sum(member.encoding.kind == "fractions" for member in model.members[:1])
        flop = sum(2 * weight.size for member in model.members for weight in member.layers.weights[gathered:])
        torch.set_num_threads(1)
        model.energies(elements[:few], amounts[:few], "cpu")
        started = time.perf_counter()
        exact = model.energies(elements[:few], amounts[:few], "cpu")
        core = 1e3 * (time.perf_counter() - started) * count / few
        torch.set_num_threads(threads)
        for precision in ("tf32", "bf16"):
            energies = model.energies(elements[:few], amounts[:few], "gpu", precision)  # type: ignore[arg-type]
            times = []
            for _ in range(3 if quick else 7):
                started = time.perf_counter()
                model.energies(elements, amounts, "gpu", precision)  # type: ignore[arg-type]
                times.append(1e3 * (time.perf_counter() - started))
            ms = float(np.median(times))
            name = f"first pass, {model.name}, {precision}"
            found.append(row(name, f"{count:,}", ms, count, "compositions", limits["bf16"] / flop, {"a core": core}))
            found[-1]["largest difference from fp32 on the CPU, eV/atom"] = float(np.abs(energies - exact).max())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run?")
    quick = parser.parse_args().quick
    if gpu_here() != "cuda":
        sys.exit("bench.gpu: no CUDA device with Triton here; nothing is timed in the interpreter")
    parity = list(checks())
    for check in parity:
        print(f"{check.kernel:<22}{check.backend:<6}{check.difference:10.1e} of {check.tolerance:.0e}")
        if not check.holds:
            sys.exit(f"bench.gpu: {check.kernel} on {check.backend} is wrong; nothing is timed")
    limits = ceilings(quick)
    rows = [
        *networks(limits, quick),
        *disorientations(limits, quick),
        *filters(limits, quick),
        *patterns(limits, quick),
        *descriptions(limits, quick),
        *first_pass(limits, quick),
    ]
    for line in rows:
        print("  ".join(f"{k}: {v:,.4g}" if isinstance(v, float) else f"{k}: {v}" for k, v in line.items()))
    device = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(0).lower())
    told = {"device": torch.cuda.get_device_name(0), "quick": quick, "ceilings": limits, "rows": rows}
    told["parity"] = [vars(check) for check in parity]
    path = RESULTS / f"{device}-{datetime.now(UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(record("gpu", told), indent=1) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
