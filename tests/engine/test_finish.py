"""Somebody is told when a scan ends: by a command, at an address."""

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from matscreen.engine.finish import Hook, told_at_the_end
from matscreen.models.errors import InputError, JobError


class Listener(BaseHTTPRequestHandler):
    """Keeps what it is told; sends those who ask for it elsewhere."""

    heard: list[dict[str, str]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append(json.loads(content))
        self.send_response({"/elsewhere": 302, "/broken": 500}.get(self.path, 200))
        self.send_header("Location", "file:///etc/passwd")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Listener.heard.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def rude() -> Iterator[str]:
    """The address of one that speaks another language."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with contextlib.suppress(OSError):
            while True:
                other, _ = server.accept()
                other.recv(1000)
                other.sendall(b"SSH-2.0-OpenSSH\r\n")
                other.close()

    threading.Thread(target=answer, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    server.close()


def test_a_scan_tells_at_its_end(
    address: str, tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "note.py"
    script.write_text(
        "import os, pathlib\nnames = ('RUN', 'STATE', 'MESSAGE')\n"
        f"pathlib.Path({str(tmp_path / 'said')!r}).write_text(' '.join(os.environ['MATSCREEN_' + n] for n in names))\n"
    )
    out = tmp_path / "run"
    then = f"{sys.executable} {script}"
    assert run("scan", "Li-O", "--out", str(out), "--then", then, "--webhook", f"{address}/x") == 0
    assert Listener.heard == [{"run": str(out), "state": "finished", "message": ""}]
    assert (tmp_path / "said").read_text() == f"{out} finished "
    (out / "phases.parquet").write_bytes(b"")
    assert run("resume", str(out), "--webhook", address, "--then", then) == 1
    assert Listener.heard[1]["state"] == "failed"
    assert "phases.parquet cannot be read" in Listener.heard[1]["message"]
    assert "failed" in (tmp_path / "said").read_text()
    capsys.readouterr()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"webhook": "{address}/elsewhere"}, "302|Found"),
        ({"webhook": "{address}/broken"}, "500|Internal"),
        ({"webhook": "http://127.0.0.1:9/"}, "refused"),
        ({"webhook": "{rude}"}, "SSH"),
        ({"command": f"{sys.executable} -c 'raise SystemExit(3)'"}, "ended with 3"),
    ],
)
def test_what_cannot_be_told_harms_nothing(
    given: dict[str, str], told: str, address: str, rude: str, tmp_path: Path
) -> None:
    said: list[str] = []
    hook = Hook(**{name: text.format(address=address, rude=rude) for name, text in given.items()})
    with told_at_the_end(hook, tmp_path, said.append):
        pass
    assert any(part in said[0] for part in told.split("|")), said
    with pytest.raises(OSError, match="the disk"), told_at_the_end(hook, tmp_path, said.append):
        raise OSError("the disk")
    assert len(said) == 2
    with pytest.raises(JobError, match="the job itself"), told_at_the_end(hook, tmp_path, said.append):
        raise JobError("the job itself")
    assert len(said) == 3


def test_what_a_command_prints_is_no_part_of_the_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with told_at_the_end(Hook("echo HOOK"), tmp_path, print):
        pass
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "HOOK\n")


def test_bad_input_is_not_told(address: str, tmp_path: Path, run: Callable[..., int]) -> None:
    assert run("scan", "Li-Xx", "--out", str(tmp_path / "run"), "--webhook", address) == 2
    assert Listener.heard == []


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        ({"command": "no-such-command-anywhere --x"}, "no command 'no-such-command-anywhere'"),
        ({"command": "echo 'open"}, "No closing quotation"),
        ({"command": "   "}, "no command ''"),
        ({"webhook": "file:///etc/passwd"}, "http:// or https://"),
        ({"webhook": "https://"}, "http:// or https://"),
        ({"webhook": "example.org"}, "http:// or https://"),
        ({"webhook": "http://localhost:http/"}, "http:// or https://"),
        ({"webhook": "http://localhost/a b"}, "http:// or https://"),
        ({"webhook": "http://localhost/\r\nX: y"}, "http:// or https://"),
        ({"webhook": "http://[::1"}, "http:// or https://"),
    ],
)
def test_hooks_that_can_never_work(hook: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Hook(**hook)
