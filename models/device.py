"""Where a training runs: the CPU, a GPU, or several processes of which `torchrun` started one a GPU (or core)."""

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed


@dataclass(frozen=True)
class Place:
    """One process of a training.

    Attributes
    ----------
    device : of its tensors
    rank, ranks : its number and how many there are; each takes its share of every batch
    """

    device: torch.device
    rank: int = 0
    ranks: int = 1

    def precision(self) -> AbstractContextManager[object]:
        """Products in bfloat16 on a GPU, where that is several times as fast; weights stay in float32."""
        if self.device.type == "cuda":
            return torch.autocast("cuda", torch.bfloat16)
        return nullcontext()

    def share(self, batch: torch.Tensor) -> torch.Tensor:
        """The rows of a batch that this process works on."""
        return batch[self.rank :: self.ranks]

    def add_up(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace tensors by their sums over all processes, in one exchange."""
        if self.ranks == 1:
            return
        listed = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in listed])
        torch.distributed.all_reduce(flat)
        for tensor, part in zip(listed, torch.split(flat, [t.numel() for t in listed]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def agree(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace tensors by those of the first process."""
        if self.ranks > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.ranks > 1:
            torch.distributed.barrier()


def here() -> Place:
    """The place of this process: a GPU where there is one, its share of a group where `torchrun` made one."""
    ranks, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available()
    if ranks > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
    if cuda:
        torch.cuda.set_device(local)
    rank = torch.distributed.get_rank() if ranks > 1 else 0
    return Place(torch.device("cuda", local) if cuda else torch.device("cpu"), rank, ranks)
