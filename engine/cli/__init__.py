"""The command line: `matscreen scan`, `resume`, `show` and the rest; one module a group of commands."""

import errno
import io
import os
import signal
import sys
from pathlib import Path

BAD_INPUT, FAILED_JOB, INTERRUPTED = 2, 1, 130


def main() -> None:
    """Entry point: every expected failure is one line on stderr, with exit code 2 (bad input) or 1 (failed job)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the shell or the daemon that started us closed it
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 (until the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no "→" shows a question mark
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGINT, lambda *_: _leave_interrupted())  # nothing is begun while modules are still loading
    import typer

    from matscreen.engine.cli.app import app
    from matscreen.kernels.backend import BackendError
    from matscreen.models.errors import InputError, JobError

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()  # while somebody hears what goes wrong with it
        if code == INTERRUPTED:  # the parser turns Ctrl-C into this code
            _leave_interrupted()
    except (InputError, BackendError) as error:
        _leave(str(error), BAD_INPUT)
    except JobError as error:
        _leave(str(error), FAILED_JOB)
    except BrokenPipeError:
        _leave_unheard()
    except SystemExit as stop:  # what the parser makes of a broken pipe, too
        if not (isinstance(stop.__context__, OSError) and stop.__context__.errno == errno.EPIPE):
            raise
        _leave_unheard()
    except OSError as error:
        bad_name = error.errno in (errno.ENAMETOOLONG, errno.ELOOP)
        _leave(f"{error.filename or 'input/output'}: {error.strerror or error}", BAD_INPUT if bad_name else FAILED_JOB)
    except UnicodeEncodeError as error:
        _leave(f"a name that is not valid text: {error.object!r}", BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        _leave_interrupted()
    except Exception as error:
        if not hasattr(error, "format_message"):  # not one of the command line parser's own
            raise
        said = " ".join(error.format_message().split()) or "a command is missing"
        _leave(f"{said} (see --help)", BAD_INPUT)


def _leave(message: str, code: int) -> None:
    print(f"matscreen: {' '.join(message.splitlines())}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_unheard()
    sys.exit(code)


def _leave_unheard() -> None:
    """The reader, `head` for instance, has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _leave_interrupted() -> None:
    # Threads may still be deep in a product; what counts is on disk already, so do not wait for them.
    sys.stdout.flush()
    print("\nmatscreen: interrupted", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)
