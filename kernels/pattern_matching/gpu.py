"""PyTorch on a CUDA device: the product is all there is to it, and cuBLAS makes it as fast as the chip can."""

import torch

SCORES = 2**28
"""Products that are kept at a time."""


def best(
    patterns: torch.Tensor,
    dictionary: torch.Tensor,
    scores: torch.Tensor,
    rows: torch.Tensor,
    first: int,
    precision: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """See the package; tensors on one device."""
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    entries, count = dictionary.to(kind).T, scores.shape[1]
    found = []
    step = max(1, SCORES // max(len(dictionary), 1))
    for start in range(0, len(patterns), step):
        some = slice(start, start + step)
        products = (patterns[some].to(kind) @ entries).float()
        if not bool(torch.isfinite(products).all()):
            raise ValueError("patterns and dictionary must be finite")
        value, place = products.topk(min(count, len(dictionary)), dim=1)
        value, place = torch.cat([scores[some], value], 1), torch.cat([rows[some], place + first], 1)
        value, order = value.sort(dim=1, descending=True, stable=True)
        found.append((value[:, :count], place.gather(1, order)[:, :count]))
    if not found:
        return scores.clone(), rows.clone()
    return torch.cat([value for value, _ in found]), torch.cat([place for _, place in found])
