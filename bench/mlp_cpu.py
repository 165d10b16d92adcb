"""Networks on one core: compositions a second; peers: ElemNet in plain PyTorch and in NumPy, at batch 4096."""

import numpy as np
import torch

from bench.harness import dense_network, median_seconds, publish, sgemm_rate
from matscreen import models
from matscreen.engine import CompositionSpace, schema
from matscreen.engine.distill.student import flop as cost
from matscreen.kernels import mlp
from matscreen.models.architecture import ARCHITECTURES
from matscreen.models.elements import ELEMNET_ELEMENTS

COUNT, BATCH = 16_384, 4096


def with_numpy(dense: np.ndarray, layers: mlp.Layers) -> np.ndarray:
    """The forward pass as one writes it in NumPy."""
    x = dense
    for number, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
        x = x @ weight + bias if number == 0 else np.maximum(x, 0) @ weight + bias
    return x


def main() -> None:
    torch.set_num_threads(1)
    layers = models.load("elemnet-oqmd").members[0].layers
    generator = np.random.default_rng(0)
    places = np.argsort(generator.random((COUNT, 86)), axis=1)[:, :4]
    fractions = generator.dirichlet(np.ones(4), COUNT).astype(np.float32)
    dense = np.zeros((COUNT, 86), np.float32)
    np.put_along_axis(dense, places, fractions, axis=1)
    network, tensor = dense_network((86, *ARCHITECTURES["elemnet"].widths, 1)), torch.from_numpy(dense)
    parts = [slice(i, i + BATCH) for i in range(0, COUNT, BATCH)]
    with torch.no_grad():
        ours = COUNT / median_seconds(lambda: mlp.forward(places, fractions, layers))
        plain = COUNT / median_seconds(lambda: [network(tensor[p]) for p in parts])
        numpy = COUNT / median_seconds(lambda: [with_numpy(dense[p], layers) for p in parts])
    # Products that are done; the first layer is a gather of four rows and costs next to nothing.
    flop = 2 * sum(w.shape[0] * w.shape[1] for w in layers.weights[1:])
    limit = sgemm_rate()
    pairnet = models.load("pairnet-oqmd")
    elements = np.sort(np.array(ELEMNET_ELEMENTS, np.uint8)[places], axis=1)
    amounts = generator.integers(1, 4, elements.shape).astype(np.uint8)
    rates = {}
    for name, model in (
        ("pairnet-oqmd", pairnet),
        ("its student of compositions", pairnet.student and pairnet.student.model),
    ):
        if model:
            one = COUNT / median_seconds(lambda model=model: model.energies(elements, amounts))
            rates[f"{name}, compositions/s/core"] = one
            rates[f"{name}, share of the limit"] = one * sum(cost(member) for member in model.members) / limit
    if pairnet.systems:
        _, *whole = schema.composition_arrays(CompositionSpace("all").chunk(10**8, 10**8 + 2**20))
        by_system = len(whole[0]) / median_seconds(lambda: pairnet.systems.model.energies(*whole))  # type: ignore[union-attr]
        rates["its student of chemical systems, compositions/s/core"] = by_system
    publish(
        "mlp_cpu",
        {
            "compositions/s/core": ours,
            "plain PyTorch, batch 4096": plain,
            "NumPy (OpenBLAS), batch 4096": numpy,
            "ratio to PyTorch": ours / plain,
            "ratio to NumPy": ours / numpy,
            "limit: best sgemm, GFLOP/s": limit / 1e9,
            "share of the limit over the whole forward": ours * flop / limit,
            **rates,
        },
    )


if __name__ == "__main__":
    main()
