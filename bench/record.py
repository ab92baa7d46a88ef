"""The sections of docs/benchmarks.md that bench/run has written. The rest of the document is written by hand and stays.

A section lies between two comments, of which the first names its run:

    <!-- bench/run: hold -->
    ...
    <!-- end of bench/run: hold -->
"""

BEGINS, ENDS = "<!-- bench/run:", "<!-- end of bench/run:"


class Damaged(Exception):
    """A section has no end, comes twice, or begins within another one."""


def begin(name):
    return f"{BEGINS} {name} -->"


def end(name):
    return f"{ENDS} {name} -->"


def sections(lines):
    """{name: (line of its beginning, line of its end)}"""
    found, name, begun = {}, None, 0
    for at, line in enumerate(line.strip() for line in lines):
        if name is None and line.startswith(BEGINS):
            name, begun = line.removeprefix(BEGINS).removesuffix("-->").strip(), at
            if line != begin(name) or name in found:
                raise Damaged(f'line {at + 1}: "{line}" begins no section, or comes twice')
        elif name is not None and line == end(name):
            found[name], name = (begun, at), None
        elif line.startswith((BEGINS, ENDS)):
            raise Damaged(f'line {at + 1}: "{line}" is not the end of the section before it')
    if name is not None:
        raise Damaged(f'line {begun + 1}: the section "{name}" has no end')
    return found


def replaced(document, name, text):
    """The document with the text as the section of that name; a new section comes last."""
    lines = document.splitlines()
    section = [begin(name), "", *text.strip("\n").splitlines(), "", end(name)]
    places = sections(lines)
    if name in places:
        begun, ended = places[name]
        lines[begun : ended + 1] = section
    else:
        lines += ["", *section]
    return "\n".join(lines) + "\n"
