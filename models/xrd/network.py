"""PADNet: peak areas found by large slope filters, a convolutional graph, and the composition (Jha 2020, 7.3.3)."""

import copy
from dataclasses import dataclass

import torch
from torch import nn

from matscreen.kernels.filters2d import maximum_filter, slope_filters, slope_masks
from matscreen.kernels.filters2d.differentiable import correlate

HIDDEN = 256
PUBLISHED_FILTER, PUBLISHED_SIDE = 50, 2048


@dataclass(frozen=True)
class Plan:
    """Sizes of the convolutional graph.

    Attributes
    ----------
    graph : (channels, stride) of each 5 × 5 convolution, all followed by the maximum of 2 × 2. Several images share the
        channels, so that they cost no more weights than one
    every : of the peak areas every so many-th row and column goes in; they change little within a filter's width
    """

    graph: tuple[tuple[int, int], ...]
    every: int = 1


PLANS = {
    "padnet": Plan(((64, 4), (96, 2), (32, 2))),
    "padnet-small": Plan(((16, 2), (24, 2), (32, 2)), every=2),
}
"""As published, for 2048 × 2048 pixels; and for images of an eighth of that side, which a CPU can learn from."""


def filter_size(side: int) -> int:
    """Pixels of the filters that cover as much of an image of this side as the published ones do."""
    return max(2, round(PUBLISHED_FILTER * side / PUBLISHED_SIDE))


class Slopes(nn.Module):
    """Slope filters that learn: (N, H, W) images in, (N, 4, H, W) of eqs. 7.5–7.7 out.

    Of every so many-th row and column. By Fourier transforms, so that a filter of 50 × 50 costs what one of 5 × 5 does.
    As the weights start they give what `peak_areas` gives.
    """

    def __init__(self, size: int, every: int = 1) -> None:
        super().__init__()
        self.every = every
        self.weight = nn.Parameter(torch.from_numpy(slope_masks(size)).float())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        size = self.weight.shape[-1]
        before, after = size // 2, size - 1 - size // 2
        # Rounding grows with what all pixels share, which no slope depends on but for the filters that do not add to 0.
        level = images.mean((1, 2), keepdim=True)
        slopes = correlate(images - level, self.weight).transpose(0, 1)
        slopes = (slopes + level[:, None] * self.weight.sum((1, 2))[:, None, None]).abs() / size**2
        padded = nn.functional.pad(slopes, (before, after, before, after), value=-1.0)  # less than any
        lines = nn.functional.max_pool2d(padded, (size, 1), (self.every, 1))
        return nn.functional.max_pool2d(lines, (1, size), (1, self.every))


def peak_areas(images: torch.Tensor, size: int, threads: int = 1) -> torch.Tensor:
    """(N, 4, H, W) float32 of images (N, H, W): the largest slope about each pixel, by eqs. 7.1–7.7, no gradients.

    Of each window the mean, not the sum, so that they are of the size of counts.
    """
    slopes = slope_filters(images, size, threads=threads)  # type: ignore[arg-type]
    found: torch.Tensor = maximum_filter(abs(slopes), size, threads=threads)  # type: ignore[assignment]
    return found.transpose(0, 1).float() / size**2


class PADNet(nn.Module):
    """Images (N, V, H, W) and compositions (N, E) in, (N, classes) logits out.

    `trained` slope filters learn with the rest; else they are constants, and what `areas` found once `classify` takes
    again and again. With no elements there is no branch for compositions. `scale`, a number beside the weights, makes
    peak areas of any unit about 1: what batch norm adds to their variance is then little.
    """

    def __init__(
        self,
        plan: Plan,
        views: int,
        shape: tuple[int, int],
        elements: int,
        classes: int,
        size: int,
        trained: bool,
        seed: int,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.size, self.trained, self.every = size, trained, plan.every
        self.scale: torch.Tensor
        self.register_buffer("scale", torch.ones(()))
        self.slopes = nn.ModuleList(Slopes(size, self.every) for _ in range(views if trained else 0))
        self.norms = nn.ModuleList(nn.BatchNorm2d(4, eps=1e-9) for _ in range(views))
        self.graphs = nn.ModuleList(_graph(plan, views) for _ in range(views))
        width = sum(outputs(plan, views, shape) for _ in range(views))
        self.composition = nn.Sequential(*_dense(elements, HIDDEN), *_dense(HIDDEN, HIDDEN)) if elements else None
        joined = width + (HIDDEN if elements else 0)
        self.classifier = nn.Sequential(*_dense(joined, HIDDEN), nn.Linear(HIDDEN, classes))

    def areas(self, images: torch.Tensor) -> torch.Tensor:
        """(N, V, 4, h, w) peak areas of every so many-th pixel."""
        if self.trained:
            return torch.stack([slopes(images[:, view]) for view, slopes in enumerate(self.slopes)], dim=1)
        threads = torch.get_num_threads()
        each = [peak_areas(images[:, view], self.size, threads) for view in range(images.shape[1])]
        return torch.stack([areas[..., :: self.every, :: self.every] for areas in each], dim=1)

    def classify(self, areas: torch.Tensor, compositions: torch.Tensor) -> torch.Tensor:
        """(N, classes) of peak areas (N, V, 4, h, w)."""
        parts = [
            graph(_softmax(norm(areas[:, view] * self.scale)))
            for view, (norm, graph) in enumerate(zip(self.norms, self.graphs, strict=True))
        ]
        if self.composition is not None:
            parts.append(self.composition(compositions))
        logits: torch.Tensor = self.classifier(torch.cat(parts, dim=1))
        return logits

    def forward(self, images: torch.Tensor, compositions: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return self.classify(self.areas(images), compositions)


def memory(network: PADNet, views: int, shape: tuple[int, int], elements: int, batch: int) -> int:
    """Bytes that a training step keeps of its activations, weights, gradients and Adam's moments; nothing is computed.

    Counted, not estimated: the step runs on PyTorch's `meta` device, which has shapes and no numbers.
    """
    kept: dict[int, torch.UntypedStorage] = {}  # several may be saved of one

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    twin = copy.deepcopy(network).to("meta").train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        compositions = torch.zeros(batch, elements, device="meta")
        if network.trained:
            given = torch.zeros(batch, views, *shape, device="meta")
            twin(given, compositions)
        else:
            rows, columns = (-(-side // network.every) for side in shape)
            given = torch.zeros(batch, views, 4, rows, columns, device="meta")
            twin.classify(given, compositions)
    weights = sum(p.nbytes for p in network.parameters())
    return sum(storage.nbytes() for storage in kept.values()) + given.nbytes + 3 * weights


def _softmax(maps: torch.Tensor) -> torch.Tensor:
    """Over all pixels of each map (eq. 7.8), times their number: of mean 1 whatever the size of the image."""
    flat = maps.flatten(2)
    return (torch.softmax(flat, dim=2) * flat.shape[2]).view_as(maps)


def _graph(plan: Plan, views: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 4
    for channels, stride in plan.graph:
        own = max(1, channels // views)
        layers += [nn.Conv2d(before, own, 5, stride, 2), nn.ReLU(), nn.BatchNorm2d(own), nn.MaxPool2d(2)]
        before = own
    return nn.Sequential(*layers, nn.Flatten())


def outputs(plan: Plan, views: int, shape: tuple[int, int]) -> int:
    """Of one graph; 0 for images so small that nothing is left of them."""
    rows, columns = (-(-side // plan.every) for side in shape)
    for _, stride in plan.graph:
        rows, columns = (((side - 1) // stride + 1) // 2 for side in (rows, columns))
    return max(1, plan.graph[-1][0] // views) * rows * columns


def _dense(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.ReLU(), nn.BatchNorm1d(outputs)]
