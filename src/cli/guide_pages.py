#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""guide_pages.py OUT.c PAGE.md...: the guide as C strings, rendered for a terminal; see guide.h."""
import os
import re
import sys
import textwrap

WIDTH = 78


def inline(text):
    """Markdown within a line: links, code and emphasis become the plain words."""
    text = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', text)
    text = re.sub(r'\*\*([^*]+)\*\*', r'\1', text)
    return re.sub(r'`([^`]+)`', r'\1', text)


def paragraph(lines):
    """One paragraph or list item, filled; what follows a list mark is indented."""
    first = lines[0]
    mark = re.match(r' *(?:\d+\. +|- )?', first)[0]
    words = inline(' '.join([first[len(mark):]] + [line.strip() for line in lines[1:]]))
    return textwrap.fill(words, WIDTH, initial_indent=mark, subsequent_indent=' ' * len(mark),
                         break_long_words=False, break_on_hyphens=False)


def render(text):
    """The page as text: headings underlined, commands indented, comments left out."""
    blocks, lines, code = [], [], None
    text = re.sub(r'^ *<!--.*?-->\n', '', text, flags=re.M | re.S)

    def flush():
        if lines:
            blocks.append(paragraph(lines))
            lines.clear()

    for line in text.splitlines():
        heading = re.match(r'(#+) (.*)', line)
        if line.strip().startswith('```'):
            flush()
            if code is not None:
                blocks.append('\n'.join(code))
            code = [] if code is None else None
        elif code is not None:
            code.append(('    ' + line).rstrip())
        elif heading:
            flush()
            title = inline(heading[2])
            blocks.append(title if len(heading[1]) > 2 else title + '\n' + '=-'[len(heading[1]) - 1] * len(title))
        elif not line.strip():
            flush()
        elif re.match(r' *(?:\d+\. |- )', line):
            flush()
            lines.append(line)
        else:
            lines.append(line)
    flush()
    return '\n\n'.join(blocks) + '\n'


def literal(text):
    """C string literals, one a line of text."""
    escaped = text.replace('\\', '\\\\').replace('"', '\\"')
    return '\n'.join(f'\t\t"{line}\\n"' for line in escaped.splitlines())


def main():
    out = ['/* Made by guide_pages.py from doc/guide. */', '#include "guide.h"', '',
           'const struct guide_page guide_pages[] = {']
    for path in sys.argv[2:]:
        with open(path, encoding='utf-8') as f:
            text = f.read()
        name = os.path.basename(path).removesuffix('.md')
        title = inline(re.search(r'^# (.*)', text, re.M)[1]).replace('"', '\\"')
        words = re.search(r'<!-- words: (.*) -->', text)[1]
        out.append(f'\t{{ "{name}", "{title}", "{words}",\n{literal(render(text))} }},')
    out += ['\t{ 0 },', '};', '']
    with open(sys.argv[1], 'w', encoding='utf-8') as f:
        f.write('\n'.join(out))


if __name__ == '__main__':
    main()
