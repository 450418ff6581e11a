"""``const()`` of MicroPython, which the compiler folds away, or a stand-in where the same code runs on CPython."""

TYPE_CHECKING = False

if TYPE_CHECKING:

    def const(value: int) -> int: ...

else:
    try:
        from micropython import const
    except ImportError:

        def const(value: int) -> int:
            return value


NEVER = 1 << 60  # a moment that does not come, in ms
