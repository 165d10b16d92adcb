"""The command line: bad input is one line and exit code 2, failed jobs 1, and what is printed can be piped."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from matscreen.engine.cli.app import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["scan", "Li-Fo"], "unknown element 'Fo'; did you mean"),
        (["scan", "Li-O", "--arity", "two"], "--arity takes numbers"),
        (["scan", "Li-O", "--arity", "2-3-4"], "--arity takes numbers"),
        (["scan", "Li-O", "--arity", "4-2"], "--arity takes numbers"),
        (["scan", "Li-O", "--arity", ""], "--arity takes numbers"),
        (["space", "Li-O", "--arity", "2-99999999999"], "--arity takes numbers from 1 to 16"),
        (["predict", "LiO", "--file", "list.txt"], "give formulas, or --file"),
        (["distill", "elemnet-oqmd", "--seed", "-1"], "'--seed'"),
        (["rescreen", "nowhere"], "no run directory"),
        (["queue", "nowhere", "--command", "true"], "--command is what the array of --slurm runs"),
        (["queue", "nowhere", "--maker", "a:B"], "--maker is of flows"),
        (["queue", "--to", "cif", "nowhere"], "no run directory"),
        (["scan", "Li-O", "--scheduler", "tcp://127.0.0.1:1"], "no Dask scheduler answers"),
        (["scan", "all", "--arity", "9", "--max-atoms", "12"], "are more than 1,000,000 chunks"),
        (["predict", "HLiBeBCNOFNaMgAlSiPSClKCaSc"], "more than 16 elements"),
        (["verify", "nowhere", "--seed", "-1"], "'--seed'"),
        (["train", "elemnet", "--data", "a", "--out", "b.safetensors", "--seed", "-1"], "'--seed'"),
        (["show", "x" * 5000], "File name too long"),
        (["scan", "Li-O", "--threshold", "nan"], "finite"),
        (["scan", "Li-O", "--threshold", "much"], "--threshold"),
        (["scan", "Li-O", "--require", "O", "--exclude", "O"], "both required and excluded"),
        (["scan", "Li-O", "--max-atoms", "99999"], "max_atoms must lie"),
        (["scan", "Li-O", "--reference", "nowhere.csv"], "no such file: nowhere.csv"),
        (["scan", "Li-O", "--reference", "oqmd"], "no reference 'oqmd'"),
        (["scan", "Li-O", "--model", "best"], "no model 'best'"),
        (["scan", "He-O"], "does not know He"),
        (["scan", "Li-O", "--top", "-1"], "--top"),
        (["scan", "Li-O", "--workers", "0"], "workers"),
        (["scan", "Li-O", "--no-such-option"], "No such option"),
        (["scan"], "Missing argument"),
        (["skan"], "No such command"),
        (["resume", "nowhere"], "no run directory"),
        (["show", "nowhere"], "no run directory"),
        (["verify", "nowhere"], "no run directory"),
        (["predict"], "give formulas"),
        (["predict", "Fe2Q3"], "unknown element 'Q'"),
        (["predict", "--file", "nowhere.txt"], "no such file"),
        (["space", "Li-O", "--preview", "-5"], "--preview"),
        (["reference", "show", "Li-Xq"], "unknown element"),
        (["reference", "fetch", "everything"], "no reference"),
        (["train", "elemnet", "--data", "no.csv", "--out", "x.safetensors"], "no such file: no.csv"),
        (["train", "elemnet", "--data", "no.csv", "--out", "x.bin"], "--out must be"),
        (["train", "elemnet", "--data", "a", "--out", "b.safetensors", "--epochs", "-1"], "--epochs must be positive"),
        (["train", "elemnet", "--data", "a", "--out", "b.safetensors", "--members", "0"], "--members takes"),
        (
            ["train", "elemnet", "--data", "a", "--out", "b.safetensors", "--decomposition", "2"],
            "--decomposition takes",
        ),
        (["train", "pairnet", "--data", "a", "--out", "b.safetensors", "--recipe", "published"], "no recipe of it was"),
        (
            ["train", "elemnet", "--data", "a", "--out", "b.safetensors", "--folds", "5", "--hold-out-system", "Ti-O"],
            "give one of --folds",
        ),
        (["train", "elemnet", "--data", "a", "--out", "b.safetensors", "--hold-out-elements", "Xy"], "unknown element"),
        (
            ["train", "elemnet", "--data", "a", "--out", "b.safetensors", "--hold-out-elements", "Ti-He"],
            "He: not among the 86",
        ),
        (["train", "elemnet", "--data", "a", "--out", "b.safetensors", "--folds", "0"], "--folds takes"),
        (["evaluate", "--data", "a", "--baseline", "svm"], "no such file: a"),
        (["evaluate", "--data", "a", "--baseline", "linear", "--model", "elemnet-oqmd"], "not both"),
        (["distill", "elemnet-oqmd", "--samples", "5"], "take 1,000 to 1,000,000,000"),
        (["train", "elmnet", "--data", "a", "--out", "b.safetensors"], "no network 'elmnet': give one of elemnet, "),
        (["train", "elemnet", "--data", "a", "--out", "b.safetensors", "--from", "nothing"], "no model 'nothing'"),
        (["evaluate", "--data", "no.csv"], "no such file: no.csv"),
        (["evaluate", "--data", "no.csv", "--picture", "p.jpg"], "--picture must be a .png"),
        (["evaluate", "--data", "no.csv", "--part", "most"], "--part"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("matscreen.engine.cluster.CONNECT_SECONDS", 1)
    assert run(*arguments) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    last = [line for line in stderr.splitlines() if line.startswith("matscreen: ")]
    assert len(last) == 1
    assert complaint in last[0]
    assert "Traceback" not in stderr
    assert not list(tmp_path.iterdir())


def test_a_day_at_the_command_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("scan", "Li-Fe-P-O", "--out", "run", "--threshold", "0.05", "--top", "3") == 0
    table = capsys.readouterr().out
    assert re.search(r"The best 3 of \d+ candidates", table)

    for more in ([], ["--diverse"]):
        assert run("show", "run", "--format", "csv", "--top", "9" * 20, *more) == 0
        assert "Fe" in capsys.readouterr().out
    said = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", said)  # which knows no Å and no arrow
        assert run("explain", "LiFeO2") == 0
    assert b"?" in said.buffer.getvalue()  # type: ignore[attr-defined]

    assert run("show", "run", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert run("show", "run", "--format", "json") == 0
    records = json.loads(capsys.readouterr().out)
    assert [r["formula"] for r in rows] == [r["formula"] for r in records]
    assert float(rows[0]["hull_distance_ev_atom"]) == records[0]["hull_distance_ev_atom"]
    assert rows[0]["decomposition"].count("+") == len(records[0]["decomposition"]) - 1

    assert run("show", "run", "--likely-first", "--top", "3") == 0
    shown = capsys.readouterr()
    assert re.search(r"The likeliest 3 of \d+ candidates", shown.out)
    assert "removed" not in shown.err  # nothing was

    assert run("show", "run", "--top", "0") == 0
    assert run("resume", "run", "--top", "1") == 0
    assert "nothing was left to do" in capsys.readouterr().err
    assert run("verify", "run", "--sample", "10") == 0
    assert "is sound" in capsys.readouterr().out

    best = records[0]["formula"]
    (tmp_path / "formulas.txt").write_text(f"{best}\nFe2O3\n")
    assert run("predict", "--file", "formulas.txt", "--format", "json") == 0
    predicted = json.loads(capsys.readouterr().out)
    assert predicted[0]["hull_distance_ev_atom"] == pytest.approx(records[0]["hull_distance_ev_atom"], abs=1e-9)
    assert predicted[1]["decomposition"] == [{"formula": "Fe2O3", "fraction": pytest.approx(1)}]

    (tmp_path / "list.CSV").write_text("compound,note\nFe2O3,rust\n")
    assert run("predict", "--file", "list.CSV", "--file-column", "compound", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)[0]["formula"] == "Fe2O3"

    assert run("space", "all") == 0
    assert "446,597,140" in capsys.readouterr().out
    assert run("reference", "show", "Li-Fe-O") == 0
    assert "LiFeO2" in capsys.readouterr().out
    assert run("reference", "list") == 0
    assert "oqmd-legacy" in capsys.readouterr().out
    assert run("doctor") == 0
    assert "elemnet-oqmd" in capsys.readouterr().out
    assert run("scan", "Pm-O", "--top", "0") == 0
    assert "holds no compound of Pm" in capsys.readouterr().err
    assert run("scan", "Li-O", "--out", "run") == 2
    (tmp_path / "run" / "candidates.parquet").write_bytes(b"nothing")
    assert run("show", "run") == 1


@pytest.mark.parametrize(
    ("arguments", "redirected"),
    [
        ("predict LiFePO4 Fe2O3 --format csv", "| true"),
        ("space Li-O", "| (exec <&-; sleep 6)"),
        ("space Li-O", ">&-"),
        ("space Li-O", "2>&-"),
        ("predict LiFePO4 Fe2O3 --format csv", ">&- 2>&- <&-"),
    ],
)
def test_nobody_listens(arguments: str, redirected: str) -> None:
    """A pipe that is closed, or streams that never were there."""
    command = f"set -o pipefail; {sys.executable} -m matscreen.engine.cli {arguments}"
    done = subprocess.run(["bash", "-c", f"{command} {redirected}"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_evaluate(
    compounds: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("evaluate", "--data", str(compounds), "--picture", "p.png", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["compounds"] == "all"
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert run("evaluate", "--data", str(compounds), "--format", "csv") == 0
    first = next(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert float(first["mae"]) == rows[0]["mae"]
    assert run("evaluate", "--data", str(compounds), "--part", "test") == 0
    assert "oxides" in capsys.readouterr().out


def test_train_on_folds_and_hold_outs(
    compounds: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    train = ("train", "pairnet", "--data", str(compounds), "--epochs", "3", "--batch", "64", "--out")
    assert run(*train, "k.safetensors", "--folds", "2") == 0
    assert "test_mae_ev_atom" in capsys.readouterr().out
    assert len(list(tmp_path.glob("k.fold*.safetensors"))) == 2
    assert (tmp_path / "k.folds.json").is_file()
    assert run(*train, "ti.safetensors", "--hold-out-elements", "Ti-O", "--members", "2") == 0
    held_out = json.loads((tmp_path / "ti.json").read_text())["data"]["split"]
    assert held_out["test"] == 6
    assert held_out["elements"] == [8, 22]
    capsys.readouterr()
    told = ("evaluate", "--data", str(compounds), "--model", "ti.safetensors", "--part", "test", "--format", "json")
    assert run(*told) == 0
    assert json.loads(capsys.readouterr().out)[0]["number"] == 6
    capsys.readouterr()
    assert run(*train, "fe.safetensors", "--hold-out-system", "Fe-Cl") == 0
    assert run("evaluate", "--data", str(compounds), "--baseline", "random-forest-attributes") == 0
    assert "random-forest-attributes on compounds.parquet, test" in capsys.readouterr().out


def test_readme_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_a_scan_needs_no_optional_library() -> None:
    """The commands can be loaded where only the package's own dependencies are installed."""
    optional = "chgnet fabio h5py jobflow kikuchipy matminer matplotlib optuna orix plotly pyFAI sklearn smact xgboost"
    code = f"""
import sys
for name in {[*optional.split(), "triton"]!r}:
    sys.modules[name] = None
from matscreen.engine.cli import main
import matscreen.kernels.parity
sys.argv = ["matscreen", "--help"]  # which loads all commands
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)
