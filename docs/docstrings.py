"""For mkdocstrings, whose parser of docstrings wants some things otherwise than the project writes them.

It is given ``name : type`` where the project writes ``name: type``; an entry for each of ``a, b: type``, since it would
show the default of the first for all; and a paragraph that follows the last parameter,
which it would take for one more parameter, is put before the section.
"""

import re

import griffe

ENTRY = re.compile(r"((?:\*{0,2}\w+, )*\*{0,2}\w+):(?: +(.*))?$")
SECTION = re.compile(r"^(?:Parameters|Attributes)\n-+\n.*?(?=^\w[^\n]*\n-{3,}\n|\Z)", re.MULTILINE | re.DOTALL)


def rewritten(section):
    """The section, and before it the paragraphs that describe no parameter."""
    title, line, *rest = section.splitlines()
    entries, outside = [], []                   # entries: names, type, lines of the description
    stray = after_blank = False
    for text in rest:
        begins = text[:1].strip() != ""         # neither indented nor empty
        entry = begins and ENTRY.match(text)
        stray = not entry and (stray or begins and after_blank)
        if entry:
            entries.append((entry[1].split(", "), entry[2], []))
        elif stray or not entries:
            outside.append(text)
        else:
            entries[-1][2].append(text)
        after_blank = not text.strip()
    inside = [part for names, kind, lines in entries for name in names
              for part in (f"{name} : {kind}" if kind else name, *lines)]
    before = [*outside, ""] if outside else []
    return "\n".join([*before, title, line, *inside, ""])


class Adapted(griffe.Extension):
    def on_instance(self, *, node=None, obj, **kwargs):
        if obj.docstring is not None:
            text = re.sub(r"::$", ":", obj.docstring.value, flags=re.MULTILINE)         # before indented code
            obj.docstring.value = SECTION.sub(lambda found: rewritten(found[0]), text)
