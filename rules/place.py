"""Where in a file the n-th character of a YAML scalar stands."""


class Source:
    """The text of a file, to find the place of a character inside one of its scalars.

    A scalar's value is its text with line breaks folded, so the characters that are no space stand in the same
    order in both; the n-th of the value is the n-th of the file from the scalar's start. (Escapes inside a quoted
    scalar shift this; nobody writes them in an expression.)
    """

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()

    def locate(self, start: tuple[int, int], value: str, offset: int) -> tuple[int, int]:
        """(line, column), from 1, of value[offset]; `start` is where the scalar begins, its quote or sign included."""
        line, column = start[0] - 1, start[1] - 1
        if line >= len(self.lines):
            return start
        opening = self.lines[line][column : column + 1]
        if opening in "|>" and opening:
            line, column = line + 1, 0
        elif opening in "\"'" and opening:
            column += 1
        before = sum(not character.isspace() for character in value[:offset])
        while line < len(self.lines):
            for index in range(column, len(self.lines[line])):
                if self.lines[line][index].isspace():
                    continue
                if before == 0:
                    return line + 1, index + 1
                before -= 1
            if before == 0 and offset >= len(value.rstrip()):  # the fault is that the expression ends here
                return line + 1, len(self.lines[line].rstrip()) + 1
            line, column = line + 1, 0
        return start
