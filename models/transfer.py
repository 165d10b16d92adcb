"""Fine-tuning: a trained model as the first weights of another training (Jha 2020, chapter 5)."""

from dataclasses import replace

import numpy as np
import torch

from matscreen.models.architecture import ARCHITECTURES, DenseNetwork, Sequence, Stack
from matscreen.models.elements import ELEMNET_ELEMENTS
from matscreen.models.encoding import Encoding
from matscreen.models.model import Model, ModelError
from matscreen.models.target import Target


def network_of(
    model: Model, target: Target, number: int = 0, dropout: tuple[float, ...] = (), seed: int = 0
) -> tuple[DenseNetwork, Encoding]:
    """The network that member `number` of `model` was saved from, every weight free to learn, and what it is given.

    Batch norm stays folded into the layers. What belongs to an element is mapped by symbol to the 86 elements; one that
    `model` does not know starts at 0. A last layer for another target starts from `seed`.

    ModelError if the layers are not those of the network that the model's card names.
    """
    name = model.card.get("network", "elemnet")
    if name not in ARCHITECTURES:
        raise ModelError(f"{model.source}: unknown network {name!r}")
    member = model.members[number % len(model.members)]
    encoding, layers = member.encoding, member.layers
    plan = replace(ARCHITECTURES[name], batch_norm=False)
    if encoding.tables:  # none in models from before embeddings told stoichiometries apart
        plan = replace(plan, stoichiometry=encoding.tables.stoichiometry.shape[1])
    found = tuple(len(bias) for bias in layers.biases[:-1])
    if plan.widths != found or plan.inputs != encoding.kind:
        raise ModelError(f"{model.source} does not hold the layers of {name}")
    untrained = replace(encoding, tables=None)
    inputs = untrained.before_training(np.eye(1, len(ELEMNET_ELEMENTS))).shape[1]
    network = DenseNetwork(plan, inputs, dropout, seed, target.outputs, len(encoding.known))
    stacks = [module for module in network.stacks if isinstance(module, Stack)]
    dense = [module for stack in stacks for module in stack.sequences if isinstance(module, Sequence)]
    ends = {id(stack.sequences[-1]): stack for stack in stacks if stack.shortcut}
    by_element = encoding.kind == "fractions"
    with torch.no_grad():
        if network.embedding is not None and encoding.tables is not None:
            for field, parameter in network.embedding.named_parameters():
                table = getattr(encoding.tables, field)
                mapped = table if field in ("bias", "stoichiometry") else _by_element(model, table)
                if mapped.shape != parameter.shape:
                    raise ModelError(f"{model.source} does not hold the embedding of {name}")
                parameter.copy_(torch.from_numpy(mapped))
        kept = [*(module.dense for module in dense), *([network.last] if target == model.target else [])]
        for at, layer in enumerate(kept):
            weight = layers.weights[at]
            layer.weight.copy_(torch.from_numpy((_by_element(model, weight) if by_element and at == 0 else weight).T))
            layer.bias.copy_(torch.from_numpy(layers.biases[at]))
        for module, shortcut in zip(dense, layers.shortcuts, strict=False):
            projection = (ends.get(id(module)) or module).projection
            if shortcut and projection is not None:
                assert shortcut.projection is not None
                from_inputs = by_element and shortcut.source == 0
                weight = _by_element(model, shortcut.projection) if from_inputs else shortcut.projection
                projection.weight.copy_(torch.from_numpy(weight.T))
    return network, untrained


def _by_element(model: Model, table: np.ndarray) -> np.ndarray:
    """Rows of a table (model's elements, W) in the order of the 86 elements, 0 where the model has none."""
    mapped = np.zeros((len(ELEMNET_ELEMENTS), table.shape[1]), np.float32)
    place = {z: row for row, z in enumerate(ELEMNET_ELEMENTS)}
    for row, z in enumerate(model.elements.tolist()):
        if z in place:
            mapped[place[z]] = table[row]
    return mapped
