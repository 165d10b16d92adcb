"""`matscreen guard`: what a scan on a GPU must know of its model."""

from typing import Annotated, get_args

import typer

from matscreen.engine.cli import options as o
from matscreen.engine.cli.output import print_table, say
from matscreen.engine.cli.run_bar import RunBar
from matscreen.engine.guard import SAMPLES, measure
from matscreen.kernels.mlp import Precision
from matscreen.models import load
from matscreen.models.errors import InputError
from matscreen.models.guard import write_guard_bands


def guard(
    model: Annotated[str, typer.Argument(help="A model that ships, or a path to its .safetensors file.")],
    precision: Annotated[str, typer.Option(help="Some of tf32, bf16 and, on a GPU, fp8.")] = "tf32,bf16",
    samples: Annotated[int, typer.Option(help="Random compositions to compare.")] = SAMPLES,
) -> None:
    """Measure how far a model in low precision strays from itself in float32, and write that into its card.

    `matscreen scan --gpu` predicts in low precision first, and again in float32 whatever comes so near to the threshold
    that it may belong below it. The model's student of compositions, if it has one, gets bands of its own.
    """
    asked: list[Precision] = []
    for name in dict.fromkeys(precision.split(",")):
        if name.strip() not in set(get_args(Precision)) - {"fp32"}:
            raise InputError(f"no precision {name.strip()!r} that needs a band: some of tf32, bf16 and fp8")
        asked.append(name.strip())  # type: ignore[arg-type]
    network = load(model)
    o.check_writable(network)
    rows = []
    for one in (network, network.student.model) if network.student else (network,):
        say(f"{one.name} predicts {samples:,} compositions in fp32, {', '.join(asked)}")
        with RunBar("compositions") as bar:
            told = measure(one, asked, samples, lambda done, bar=bar: bar.update(done, samples, 0, ""))  # type: ignore[misc]
        write_guard_bands(one, told)
        for name, figures in told.items():
            largest, high = figures["largest_difference_ev_atom"], figures["quantile_0.99999_ev_atom"]
            band = figures["guard_band_ev_atom"]
            rows.append((one.name, name, f"{largest:.5f}", f"{high:.5f}", f"{band:.4f}"))
    print_table("eV/atom", ("model", "precision", "largest difference", "99.999% below", "guard band"), rows)
