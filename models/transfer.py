"""Fine-tuning: a trained model as the first weights of another training (Jha 2020, chapter 5)."""

from dataclasses import replace

import numpy as np
import torch

from matscreen.models.architecture import ARCHITECTURES, DenseNetwork, Sequence, Stack
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.encoding import inputs
from matscreen.models.model import Model, ModelError


def network_of(model: Model, dropout: tuple[float, ...] = ()) -> DenseNetwork:
    """The network that `model` was saved from, every weight free to learn, with the 86 elements as inputs.

    Batch norm stays folded into the layers. Inputs of fractions are mapped by element; one that `model` does not know
    starts at 0. ModelError if its layers are not those of the network that its card names.
    """
    name = model.card.get("network", "elemnet")
    if name not in ARCHITECTURES:
        raise ModelError(f"{model.source}: unknown network {name!r}")
    plan = replace(ARCHITECTURES[name], batch_norm=False)
    layers = model.layers
    if plan.widths != tuple(len(bias) for bias in layers.biases) or plan.inputs != model.encoding.kind:
        raise ModelError(f"{model.source} does not hold the layers of {name}")
    network = DenseNetwork(plan, inputs(model.encoding, len(ELEMNET_ELEMENTS)), dropout)
    stacks = [module for module in network.stacks if isinstance(module, Stack)]
    dense = [module for stack in stacks for module in stack.sequences if isinstance(module, Sequence)]
    ends = {id(stack.sequences[-1]): stack for stack in stacks if stack.shortcut}
    with torch.no_grad():
        for number, layer in enumerate([*(module.dense for module in dense), network.last]):
            layer.weight.copy_(torch.from_numpy(_by_element(model, layers.weights[number], number == 0).T))
            layer.bias.copy_(torch.from_numpy(layers.biases[number]))
        for module, shortcut in zip(dense, layers.shortcuts, strict=False):
            projection = (ends.get(id(module)) or module).projection
            if shortcut and projection is not None:
                assert shortcut.projection is not None
                projection.weight.copy_(
                    torch.from_numpy(_by_element(model, shortcut.projection, shortcut.source == 0).T)
                )
    return network


def _by_element(model: Model, weight: np.ndarray, takes_inputs: bool) -> np.ndarray:
    """Rows of a weight (in, out) that takes fractions, in the order of the 86 elements."""
    if not takes_inputs or model.encoding.kind != "fractions":
        return weight
    mapped = np.zeros((len(ELEMNET_ELEMENTS), weight.shape[1]), np.float32)
    place = {z: row for row, z in enumerate(ELEMNET_ELEMENTS)}
    for row, z in enumerate(model.elements.tolist()):
        if z in place:
            mapped[place[z]] = weight[row]
    return mapped
