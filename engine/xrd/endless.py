"""Damaged files at which fabio would look for ever, told before it does."""

import bz2
import gzip
import re
from pathlib import Path
from typing import IO, Literal

CBF, CBF_SECTION, CBF_PIXELS = b"###CBF", b"--CIF-BINARY-FORMAT-SECTION--", b"\x0c\x1a\x04\xd5"
TIFF: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}


DIMENSION = re.compile(rb"dim_0*[1-9][0-9]{2}", re.IGNORECASE)
"""In an EDF header the hundredth dimension or a later one: all up to it would be made."""

BLOCK = 2**20
"""Bytes read at a time."""


def check_endless(path: Path) -> None:
    """ValueError for what would never end.

    A CBF file whose pixels never begin, a TIFF file whose directories lead back to themselves, an EDF file of more
    dimensions than there are.
    """
    with _opened(path) as file:
        head = file.read(8)
        if head.startswith(CBF) or ".cbf" in path.name.lower():
            content = head + file.read()
            section = content.find(CBF_SECTION)
            if section < 0 or content.find(CBF_PIXELS, section) < 0:
                raise ValueError("it is damaged, or cut off: no pixels begin in it")
        elif head.lstrip().startswith(b"{") or ".edf" in path.name.lower():
            before = head
            while before:
                block = file.read(BLOCK)
                if DIMENSION.search(before + block):
                    raise ValueError("it is damaged: its header tells of hundreds of dimensions")
                before = block and block[-64:]
        elif order := TIFF.get(head[:4]):
            seen: set[int] = set()
            at = _number(head[4:], order)
            while at:
                if at in seen:
                    raise ValueError("it is damaged: its directories lead back to themselves")
                seen.add(at)
                file.seek(at)
                entries = file.read(2)
                file.seek(at + 2 + 12 * _number(entries, order))
                at = _number(file.read(4), order)


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile | bz2.BZ2File:
    """The file, unpacked as fabio would."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path)
    return bz2.open(path) if path.suffix.lower() == ".bz2" else path.open("rb")


def _number(content: bytes, order: Literal["little", "big"]) -> int:
    """0 where the file has ended."""
    return int.from_bytes(content, order)
