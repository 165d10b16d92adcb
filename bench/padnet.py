"""PADNet as published on raw images of 2048 × 2048 pixels: seconds an image, and the memory of a training step."""

import numpy as np
import torch

from bench.harness import median_seconds, publish
from matscreen.models.xrd.network import PLANS, PADNet, filter_size, memory

SIDE, BATCH = 2048, 16


def main() -> None:
    images = torch.from_numpy(np.random.default_rng(0).poisson(300, (1, 1, SIDE, SIDE)).astype(np.float32))
    compositions = torch.full((1, 3), 1 / 3)
    figures: dict[str, float] = {}
    for trained in (False, True):
        network = PADNet(PLANS["padnet"], 1, (SIDE, SIDE), 3, 8, filter_size(SIDE), trained, 0).eval()
        name = "slopes trained" if trained else "slopes fixed"
        with torch.no_grad():
            figures[f"{name}: peak areas, seconds an image"] = median_seconds(lambda n=network: n.areas(images), 3)
            figures[f"{name}: whole, seconds an image"] = median_seconds(lambda n=network: n(images, compositions), 3)
        figures[f"{name}: a step of {BATCH} keeps, GB"] = memory(network, 1, (SIDE, SIDE), 3, BATCH) / 1e9
        figures["parameters"] = sum(p.numel() for p in network.parameters())
    publish("padnet", figures)


if __name__ == "__main__":
    main()
