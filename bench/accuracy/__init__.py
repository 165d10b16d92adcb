"""How good the models are: the comparisons of Jha 2020 and Bartel et al. 2020, each a script.

    python -m bench.accuracy.NAME            the whole of it, hours on a CPU; interrupted, it goes on
    python -m bench.accuracy.NAME --quick    the same on a twentieth of the data, in minutes: does it still work?

Trained models are kept in `runs/accuracy/`, figures go to `bench/results/accuracy/` (with --quick beside the models).
"""
