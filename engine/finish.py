"""Telling somebody that a long job has ended: a command that is run, an address that is called."""

import http.client
import json
import os
import shlex
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matscreen.kernels.backend import BackendError
from matscreen.models.errors import InputError

SECONDS = 10
"""How long an address has to answer."""


@dataclass(frozen=True)
class Hook:
    """Who is told.

    Attributes
    ----------
    command : split as a shell would, run without one; MATSCREEN_RUN, MATSCREEN_STATE (finished or failed) and
        MATSCREEN_MESSAGE are in its environment
    webhook : http or https address that gets these as JSON
    """

    command: str = ""
    webhook: str = ""

    def __post_init__(self) -> None:
        """InputError for what can never work, before the job begins."""
        if self.command:
            try:
                words = shlex.split(self.command)
            except ValueError as error:
                raise InputError(f"--then takes a command, not {self.command!r}: {error}") from None
            if not words or shutil.which(words[0]) is None:
                raise InputError(f"--then: no command {words[0] if words else ''!r}")
        if self.webhook:
            try:
                parts = urllib.parse.urlsplit(self.webhook)
                known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
                known = known and self.webhook.isprintable() and " " not in self.webhook
            except ValueError:
                known = False
            if not known:
                raise InputError(f"--webhook takes an address http:// or https://, not {self.webhook!r}")


@contextmanager
def told_at_the_end(hook: Hook, path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Run what is within, then tell how it ended; `say` gets what went wrong with telling, which harms nothing.

    An error of the job is told and goes on; an interruption from the keyboard is not told, its sender knows.
    """
    try:
        yield
    except (InputError, BackendError):
        raise  # the job was not begun
    except Exception as error:
        _tell(hook, path, "failed", str(error) or type(error).__name__, say)
        raise
    _tell(hook, path, "finished", "", say)


def _tell(hook: Hook, path: Path, state: str, message: str, say: Callable[[str], None]) -> None:
    content = {"run": str(path.resolve()), "state": state, "message": message}
    if hook.command:
        names = {f"MATSCREEN_{name.upper()}": value for name, value in content.items()}
        try:
            code = subprocess.run(
                shlex.split(hook.command), env=os.environ | names, check=False, stdin=subprocess.DEVNULL, stdout=2
            ).returncode  # what it prints is no part of the answer
            if code:
                say(f"--then {hook.command!r} ended with {code}")
        except (OSError, ValueError) as error:  # the latter of a message that is no text
            say(f"--then {hook.command!r}: {error}")
    if hook.webhook:
        request = urllib.request.Request(
            hook.webhook, json.dumps(content).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=SECONDS):
                pass
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            say(f"--webhook {hook.webhook}: {getattr(error, 'reason', None) or error}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What a run is called goes to the address that was given and to no other."""

    def redirect_request(self, *_: Any) -> None:
        """None: the answer itself is then an error."""
