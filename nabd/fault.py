"""What stops a command with one clear message and exit code 2, never a traceback."""


class Refused(Exception):
    """Nabd cannot go on, and the user can mend it: the message names place, key, value, limit and next step."""
