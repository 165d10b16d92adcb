"""Numbered files whose names tell what they hold: N-D.parquet, D the beginning of the SHA-256 of the bytes."""

import hashlib
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from matscreen.models.files import checksum, write_atomically


def write_digested(folder: Path, number: int, table: pa.Table) -> Path:
    """Write file `number`, whole or not at all; returns where it is."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=2**16)
    content = buffer.getvalue()
    file = folder / f"{number:06d}-{hashlib.sha256(content).hexdigest()[:16]}.parquet"
    write_atomically(file, lambda temporary: temporary.write_bytes(content))
    return file


def intact(file: Path) -> bool:
    """Whether a file holds the bytes that its name tells of."""
    try:
        return checksum(file)[:16] == file.stem.rpartition("-")[2]
    except OSError:
        return False
