"""What a run was asked for: known again, and refused once altered."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from matscreen.engine import rundir
from matscreen.engine.rundir import RunConfig
from matscreen.models.errors import InputError

GAP = {"column": "gap", "model": "m", "source": "s", "checksum": "c", "low": 1.0, "high": None, "goal": 0}
SEARCH = {"objectives": [["gap", 1]], "evaluations": 120, "seed": 0, "latent": "c"}


def test_the_fingerprint_is_of_what_decides_the_candidates(config: RunConfig) -> None:
    deciding = [
        replace(config, version="2"),
        replace(config, space={**config.space, "max_atoms": 9}),
        replace(config, threshold=0.1),
        replace(config, charge_neutral=True),
        replace(config, chunk_size=101),
        replace(config, model={**config.model, "checksum": "other"}),
        replace(config, model={**config.model, "student": "other"}),
        replace(config, reference={**config.reference, "checksum": "other"}),
    ]
    same = [
        replace(config, model={**config.model, "source": "elsewhere", "name": "other"}),
        replace(config, reference={**config.reference, "origin": {}, "name": "other"}),
        RunConfig(**json.loads(json.dumps(asdict(config)))),
    ]
    assert len({c.fingerprint for c in [config, *deciding]}) == len(deciding) + 1
    assert {c.fingerprint for c in same} == {config.fingerprint}
    assert len(config.fingerprint) == 64


def test_the_order_of_words_decides_nothing(config: RunConfig) -> None:
    turned = {field: getattr(config, field) for field in ("space", "model", "reference")}
    turned = {field: dict(reversed(words.items())) for field, words in turned.items()}
    assert replace(config, **turned).fingerprint == config.fingerprint
    assert (
        len({c.fingerprint for c in (config, replace(config, search=SEARCH), replace(config, properties=(GAP,)))}) == 3
    )


def test_a_run_without_properties_is_known_by_what_it_always_was(config: RunConfig) -> None:
    deciding = asdict(config)
    assert (deciding.pop("properties"), deciding.pop("search")) == ((), {})  # once there were none
    deciding |= {"model": [config.model["checksum"], ""], "reference": config.reference["checksum"]}
    assert config.fingerprint == hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def test_which_words_of_a_property_decide(config: RunConfig) -> None:
    one = replace(config, properties=(GAP,)).fingerprint
    for word, value in (("model", "other"), ("source", "other")):
        assert replace(config, properties=(GAP | {word: value},)).fingerprint == one
    for word, value in (("checksum", "other"), ("column", "other"), ("low", 0.5), ("high", 2.0), ("goal", 1)):
        assert replace(config, properties=(GAP | {word: value},)).fingerprint != one


def read_again(path: Path, config: RunConfig) -> RunConfig:
    """What is read of a run.json that says this."""
    (path / "run.json").write_text(json.dumps(asdict(config) | {"fingerprint": config.fingerprint}))
    return rundir.read_config(path)


def test_properties_are_as_a_scan_writes_them(path: Path, config: RunConfig) -> None:
    for change in ({}, {"low": None}, {"high": 3}, {"goal": -1}, {"goal": 1}):
        asked = replace(config, properties=(GAP, GAP | change))
        assert read_again(path, asked) == asked
    words: list[dict[str, object]] = [{word: 3} for word in ("column", "model", "source", "checksum")]
    for wrong in ({"more": 1}, {"low": "1"}, {"high": [1]}, {"goal": 2}, {"goal": -2}, {"goal": None}, *words):
        with pytest.raises(InputError, match="a property is not as a scan writes it"):
            read_again(path, replace(config, properties=(GAP, GAP | wrong)))
    for word in GAP:
        with pytest.raises(InputError, match="a property is not as a scan writes it"):
            read_again(path, replace(config, properties=({w: v for w, v in GAP.items() if w != word},)))


def test_searches_are_as_a_search_writes_them(path: Path, config: RunConfig) -> None:
    most = 2**32
    good = (
        {},
        {"evaluations": 1},
        {"evaluations": most - 1},
        {"seed": most - 2},
        {"objectives": [["a", -1], ["b", 1]]},
    )
    for change in good:
        asked = replace(config, search=SEARCH | change)
        assert read_again(path, asked) == asked
    numbers = [{word: value} for word in ("evaluations", "seed") for value in (-1, most, "5", 2.5)]
    wrong = [{"more": 1}, {"evaluations": 0}, {"objectives": []}, {"objectives": [["a", 0]]}, {"objectives": [[3, 1]]}]
    for change in [*wrong, *numbers]:
        with pytest.raises(InputError, match="run.json cannot be read"):
            read_again(path, replace(config, search=SEARCH | change))
    for size in (0, most):
        with pytest.raises(InputError, match="the search is not as a search writes it"):
            read_again(path, replace(config, search=SEARCH, chunk_size=size))
    for word in SEARCH:
        with pytest.raises(InputError, match="run.json cannot be read"):
            read_again(path, replace(config, search={w: v for w, v in SEARCH.items() if w != word}))
    assert rundir.NO_THRESHOLD < -100  # what a search keeps may lie far above the hull


def test_altered_configurations(path: Path) -> None:
    told = json.loads((path / "run.json").read_text())
    for key, value, says in (
        ("threshold", 0.3, "was altered"),
        ("fingerprint", "0" * 64, "was altered"),
        ("space", None, "was altered"),
        ("model", [], "cannot be read"),
        ("model", {"checksum": "a"}, "of an older matscreen"),
        ("reference", {}, "cannot be read: KeyError"),
    ):
        (path / "run.json").write_text(json.dumps(told | {key: value}))
        with pytest.raises(InputError, match=says):
            rundir.read_config(path)
    for text in ("", "[]", "{}", "nonsense", '{"version": "1"}'):
        (path / "run.json").write_text(text)
        with pytest.raises(InputError, match="cannot be read"):
            rundir.read_config(path)
    (path / "run.json").unlink()
    with pytest.raises(InputError, match="no run directory"):
        rundir.read_config(path)
