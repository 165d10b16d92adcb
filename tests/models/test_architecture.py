"""The networks before they have learnt anything."""

import pytest
import torch

from matscreen.models.architecture import ARCHITECTURES, DenseNetwork

DEEP = [name for name, plan in ARCHITECTURES.items() if plan.batch_norm]


@pytest.mark.parametrize("name", DEEP)
def test_a_deep_network_starts_near_the_mean(name: str) -> None:
    """Shortcuts add layers up, but do not multiply, and the last layer makes little of it."""
    plan = ARCHITECTURES[name]
    network = DenseNetwork(plan, 145, seed=1).train()
    inputs = torch.randn(256, 145, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert 0 < float(network(inputs).std()) < 0.3
        assert float(network.stacks(inputs).square().mean().sqrt()) < len(plan.widths) / 4
