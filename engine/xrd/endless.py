"""Damaged files at which fabio would look for ever, told before it does."""

import struct
from pathlib import Path

CBF, CBF_SECTION, CBF_PIXELS = b"###CBF", b"--CIF-BINARY-FORMAT-SECTION--", b"\x0c\x1a\x04\xd5"
TIFF = {b"II*\0": "<", b"MM\0*": ">"}


def check_endless(path: Path) -> None:
    """ValueError for a CBF file whose pixels never begin, or a TIFF file whose directories lead back to themselves."""
    content = path.read_bytes()
    if content.startswith(CBF) or path.suffix.lower() == ".cbf":
        section = content.find(CBF_SECTION)
        if section < 0 or content.find(CBF_PIXELS, section) < 0:
            raise ValueError("it is damaged, or cut off: no pixels begin in it")
    elif order := TIFF.get(content[:4]):
        seen: set[int] = set()
        (at,) = struct.unpack(f"{order}I", content[4:8].ljust(4, b"\0"))
        while at and at + 2 <= len(content):
            if at in seen:
                raise ValueError("it is damaged: its directories lead back to themselves")
            seen.add(at)
            (entries,) = struct.unpack(f"{order}H", content[at : at + 2])
            after = at + 2 + 12 * entries
            (at,) = struct.unpack(f"{order}I", content[after : after + 4].ljust(4, b"\0"))
