"""How a room says that its disk is full, so that whoever tells people of it knows it from every other fault."""

_MARK = ": its disk is full ("
_GOES_ON = ": nothing is lost meanwhile, and it goes on by itself"


def sentence(place: object, cause: object) -> str:
    """`place`: the file, or the server, that lacks room; `cause`: what the system or the library said."""
    return f"{place}{_MARK}{cause}); make room on it{_GOES_ON}"


def at_start(fault: str) -> str:
    """Such a sentence, or another, where nothing runs yet that could go on."""
    return fault.replace(_GOES_ON, ", then start again")


def is_told(fault: str) -> bool:
    """Is this, or does it hold, such a sentence?"""
    return _MARK in fault
