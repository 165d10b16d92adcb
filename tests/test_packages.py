"""What a wheel holds: every package, and every file beside its modules that they read."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOLD = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
HERE = {
    "matscreen." + ".".join(path.parent.relative_to(ROOT).parts): path.parent
    for house in ("engine", "kernels", "models")
    for path in (ROOT / house).rglob("__init__.py")
}


def test_every_package_is_listed() -> None:
    assert set(TOLD["packages"]) == set(HERE)


def test_every_file_that_is_read_goes_along() -> None:
    """Curves and pictures of trainings are for readers of the repository alone."""
    missing = [
        f"{name}/{file.relative_to(folder)}"
        for name, folder in HERE.items()
        for file in (*folder.glob("*.*"), *folder.glob("weights/*.*"))
        if file.suffix not in (".py", ".parquet", ".png")
        and not any(fnmatch(str(file.relative_to(folder)), told) for told in TOLD["package-data"].get(name, ()))
    ]
    assert missing == []
