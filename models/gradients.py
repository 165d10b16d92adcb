"""Which way a prediction goes: its slope towards every element of a composition (Umehara et al., note 2)."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import softmax

from matscreen.kernels import embedding
from matscreen.kernels.backend import Backend
from matscreen.kernels.features import attribute_slopes, composition_features
from matscreen.kernels.mlp import Layers
from matscreen.kernels.products import learning_product
from matscreen.models.device import here
from matscreen.models.encoding import LARGEST
from matscreen.models.member import Member
from matscreen.models.model import Model, ModelError

ROWS = 1024
"""Compositions at a time, of which all activations are kept."""

STEP = 1e-6
"""Of the differences that define the slopes, in fractions of atoms; those so near are equal to the attributes."""


def slopes(
    model: Model, elements: np.ndarray, amounts: np.ndarray, output: int = 0, backend: Backend = "auto"
) -> np.ndarray:
    """How what a model predicts changes as atoms of a composition x become atoms of one of its elements.

    The slope towards element k is d/dt f((1 − t) x + t e_k) at t = 0, that is g_k − Σ x_j g_j with g the gradient of f:
    the fractions still sum to one, and Σ x_k slope_k = 0. `on_simplex` makes the gradient's projection of it. A
    network that tells stoichiometries apart takes them as they are: its predictions jump where one is left, and that is
    in no slope.

    Parameters
    ----------
    elements : (N, K) uint8, atomic numbers, 0 in empty places
    amounts : (N, K), atoms of each, any numeric dtype. An element may be listed with amount 0: a network of fractions
        has a slope towards it all the same. One of attributes or an embedding has none (it sees which elements are
        there), and its slope is NaN
    output : which property, or class (then of its probability)
    backend : "reference" takes central differences of the definition in float64, on the way to each element and back

    Returns
    -------
    (members, N, K) float32 (float64 from the reference), in units of the property; 0 in empty places.

    Raises
    ------
    ModelError
        An element that the model does not know, or no such output.
    """
    if not 0 <= output < model.target.outputs:
        raise ModelError(f"{model.name} has no output {output}")
    places = model.places(elements)
    fractions = amounts / amounts.sum(axis=1, dtype=np.float64, keepdims=True)
    run = _differences if backend == "reference" else _backwards
    parts = [slice(start, start + ROWS) for start in range(0, max(len(elements), 1), ROWS)]
    found = np.concatenate(
        [run(model, elements[part], places[part], fractions[part], output) for part in parts], axis=1
    )
    if any(member.encoding.kind != "fractions" for member in model.members):
        found[:, (elements > 0) & (fractions <= 0)] = np.nan
    return found


def on_simplex(slopes: np.ndarray, elements: np.ndarray) -> np.ndarray:
    """The gradient within the simplex of the listed elements, (…, N, K), of slopes (…, N, K).

    Of all directions that keep the sum of the fractions it is the steepest; its components sum to 0.
    """
    there = elements > 0
    mean = np.where(there, slopes, 0).sum(axis=-1, keepdims=True) / there.sum(axis=-1, keepdims=True)
    return np.where(there, slopes - mean, 0)


def _backwards(
    model: Model, elements: np.ndarray, places: np.ndarray, fractions: np.ndarray, output: int
) -> np.ndarray:
    """By one pass back through each network."""
    device = here().device
    rows = torch.from_numpy(places.astype(np.int64)).to(device)
    x = torch.from_numpy(fractions.astype(np.float32)).to(device).requires_grad_()
    attributes, changes = np.empty((len(elements), 0)), np.empty((*elements.shape, 0))
    if any(member.encoding.kind != "fractions" for member in model.members):
        listed = np.where(fractions > 0, elements, 0)
        attributes, changes = composition_features(listed, fractions), attribute_slopes(listed, fractions)

    def chosen(outputs: torch.Tensor) -> torch.Tensor:
        return (torch.softmax(outputs, dim=1) if model.target.classes else outputs)[:, output].sum()

    found = [_gradient(member, rows, x, attributes, changes, chosen).cpu().numpy() for member in model.members]
    gradients = np.where(elements > 0, np.stack(found), 0)
    middle = (gradients * fractions).sum(axis=2, keepdims=True)
    return np.where(elements > 0, gradients - middle, 0).astype(np.float32)


def _gradient(
    member: Member,
    places: torch.Tensor,
    x: torch.Tensor,
    attributes: np.ndarray,
    changes: np.ndarray,
    chosen: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """(N, K) derivatives of what is chosen of one network's outputs, by fractions as if each could change by itself."""
    encoding, layers = member.encoding, member.layers
    if encoding.kind == "fractions":
        rows = torch.zeros(len(x), len(layers.weights[0]), device=x.device).scatter_add(1, places, x)
        return torch.autograd.grad(chosen(_network(rows, layers)), x)[0]
    standard = torch.from_numpy(encoding.standardised(attributes)).to(x.device).requires_grad_()
    embedded = [_embedded(encoding.tables, places, x)] if encoding.tables else []
    outputs = _network(torch.cat([*embedded, standard], dim=1), layers)
    by_fractions, by_attributes = torch.autograd.grad(chosen(outputs), [x, standard], allow_unused=True)
    inside = np.abs((attributes - encoding.mean) / encoding.scale) < LARGEST
    pull = torch.from_numpy((changes * (inside / encoding.scale)[:, None]).astype(np.float32)).to(x.device)
    through = torch.einsum("nkf,nf->nk", pull, by_attributes)
    return through if by_fractions is None else by_fractions + through


def _embedded(learned: embedding.Tables, places: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """`kernels.embedding` with a way back to the fractions."""
    tables = {name: torch.from_numpy(table).to(x.device) for name, table in learned._asdict().items()}
    keys = embedding.stoichiometry_keys(places.cpu().numpy(), x.detach().cpu().numpy(), learned.order)

    def summed(name: str, weights: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nk,nkw->nw", weights, tables[name][places])

    there = x > 0
    root = torch.where(there, x, 1.0).sqrt() * there  # no infinite slope where nothing is
    return torch.cat(
        [
            summed("left", x) * summed("right", x),
            torch.relu(summed("linear", x) + tables["bias"]),
            summed("root", root),
            summed("presence", there.to(x.dtype)),
            tables["stoichiometry"][torch.from_numpy(embedding.rows(keys, learned.known)).to(x.device)],
        ],
        dim=1,
    )


def _network(inputs: torch.Tensor, layers: Layers) -> torch.Tensor:
    """`kernels.mlp` with a way back to its inputs."""

    def there(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(inputs.device)

    found = [inputs]
    for number, (weight, bias, shortcut) in enumerate(zip(*layers, strict=True), start=1):
        y = learning_product(found[-1], there(weight), there(bias))
        if number < len(layers.weights):
            y = torch.relu(y)
        if shortcut:
            source = found[shortcut.source]
            y = y + (source if shortcut.projection is None else learning_product(source, there(shortcut.projection)))
        found.append(y)
    return found[-1]


def _differences(
    model: Model, elements: np.ndarray, places: np.ndarray, fractions: np.ndarray, output: int
) -> np.ndarray:
    """The definition."""

    def chosen(rows: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(members, N), all of it in float64."""
        own = np.where(x > 0, elements[rows], 0)
        attributes = composition_features(own, x, backend="reference")
        found = np.stack([_defined(member, places[rows], x, attributes) for member in model.members])
        return (softmax(found, axis=2) if model.target.classes else found)[:, :, output]

    found = np.zeros((len(model.members), *elements.shape))
    for k in range(elements.shape[1]):
        rows = np.flatnonzero(elements[:, k] > 0)
        towards = np.eye(elements.shape[1])[k] - fractions[rows]
        back = np.where(fractions[rows, k] > 0, STEP, 0)  # else there is no way back
        ahead, behind = (chosen(rows, fractions[rows] + step * towards) for step in (STEP, -back[:, None]))
        found[:, rows, k] = (ahead - behind) / (STEP + back)
    return found


def _defined(member: Member, places: np.ndarray, x: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    by_fractions = member.encoding.kind == "fractions"
    return member.outputs(places, x, None if by_fractions else attributes, "reference", "fp32")
