"""PADNet: its peak areas against SciPy's filters, its gradients, its memory."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from matscreen.kernels.filters2d import slope_masks
from matscreen.models.xrd.network import PLANS, PADNet, Slopes, filter_size, memory, outputs, peak_areas


@pytest.mark.parametrize("size", [2, 3, 6, 13])
@pytest.mark.parametrize("shape", [(40, 40), (33, 47)])
def test_peak_areas_are_those_of_the_equations(size: int, shape: tuple[int, int]) -> None:
    images = np.random.default_rng(size).poisson(300, (2, *shape)).astype(np.float32)
    found = peak_areas(torch.from_numpy(images), size).numpy()
    learning = Slopes(size)(torch.from_numpy(images)).detach().numpy()
    for n, image in enumerate(images):
        for k, mask in enumerate(slope_masks(size)):
            slopes = np.abs(ndimage.correlate(image.astype(np.float64), mask, mode="reflect"))
            expected = ndimage.maximum_filter(slopes, size, mode="reflect") / size**2
            np.testing.assert_allclose(found[n, k], expected, rtol=1e-5, atol=1e-3)
            np.testing.assert_allclose(learning[n, k], expected, rtol=1e-5, atol=1e-3)


def test_a_smooth_background_leaves_balanced_slopes_alone() -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.poisson(50, (1, 60, 60)).astype(np.float32))
    balanced = [2, 3]  # of an even size the diagonal filters do not add up to 0
    lifted, plain = (peak_areas(given, 6)[:, balanced] for given in (image + 5000, image))
    torch.testing.assert_close(lifted, plain, atol=2e-3, rtol=0)


def test_slopes_learn_along_their_gradients() -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 12, 13, dtype=torch.float64)
    slopes = Slopes(4).double()
    torch.autograd.gradcheck(lambda w: _with(slopes, w, images), (slopes.weight.detach() * 0.9 + 0.01).requires_grad_())


def _with(slopes: Slopes, weight: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return torch.func.functional_call(slopes, {"weight": weight}, (images,))


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("trained", [False, True])
def test_what_was_found_once_serves_again(views: int, trained: bool) -> None:
    network = PADNet(PLANS["padnet-small"], views, (128, 128), 3, 8, 3, trained, 0).eval()
    images, compositions = torch.rand(2, views, 128, 128) * 100, torch.rand(2, 3)
    with torch.no_grad():
        whole = network(images, compositions)
        torch.testing.assert_close(whole, network.classify(network.areas(images), compositions))
        assert whole.shape == (2, 8)
        other = network(images, 1 - compositions)
    assert not torch.allclose(whole, other)
    assert any("slopes" in name for name, _ in network.named_parameters()) == trained


def test_published_sizes() -> None:
    one = PADNet(PLANS["padnet"], 1, (2048, 2048), 3, 8, filter_size(2048), False, 0)
    two = PADNet(PLANS["padnet"], 2, (2048, 2048), 3, 8, filter_size(2048), False, 0)
    assert filter_size(2048) == 50
    assert [m.out_channels for m in one.graphs[0] if isinstance(m, torch.nn.Conv2d)] == [64, 96, 32]
    assert [m.out_channels for m in two.graphs[0] if isinstance(m, torch.nn.Conv2d)] == [32, 48, 16]
    assert outputs(PLANS["padnet"], 1, (2048, 2048)) == 32 * 16 * 16
    assert outputs(PLANS["padnet"], 1, (64, 64)) == 0


@pytest.mark.parametrize("trained", [False, True])
def test_memory_is_what_a_step_keeps(trained: bool) -> None:
    network = PADNet(PLANS["padnet-small"], 1, (128, 128), 3, 8, 3, trained, 0)
    batch = 4
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    images = torch.rand(batch, 1, 128, 128)
    given = images if trained else network.areas(images)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        (network(images, torch.rand(batch, 3)) if trained else network.classify(given, torch.rand(batch, 3))).sum()
    real = sum(storage.nbytes() for storage in kept.values()) + 3 * sum(p.nbytes for p in network.parameters())
    assert memory(network, 1, (128, 128), 3, batch) == pytest.approx(real + given.nbytes, rel=0.1)
