"""The two ways a request can fail: what was asked is wrong, or the job could not be done."""


class InputError(ValueError):
    """Something the user gave cannot be used. The message is one line: what was wrong, where, and what to do."""


class JobError(RuntimeError):
    """A job that was asked for rightly but could not be finished. The message is one line."""
