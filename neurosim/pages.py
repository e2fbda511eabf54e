"""Pages of text, tables and figures, as Markdown or as one self-contained HTML file."""

import base64
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from neurosim.errors import ParameterError
from neurosim.runs import Run, writing

MARK = "<!-- written by neurosim, which may write over it -->"
STYLE = """
:root { color-scheme: light dark; --line: #8886; --good: #187a3c; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --good: #6fd08c; --bad: #ff8a80; } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 84rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; break-after: avoid; } tr { break-inside: avoid; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .5rem; font-size: .87em; opacity: .8; }
th, td { text-align: left; vertical-align: top; padding: .3rem .9rem .3rem 0; border-top: 1px solid var(--line); }
thead th { border-top: 0; white-space: nowrap; } tbody th { font-weight: 600; white-space: nowrap; }
.short { white-space: nowrap; }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
figure { display: inline-block; margin: 1rem 1rem 0 0; max-width: 34rem; vertical-align: top; break-inside: avoid; }
img { max-width: 100%; background: #fff; } figcaption { font-size: .87em; opacity: .8; }
@page { size: landscape; }
@media print { body { max-width: none; margin: 0; font-size: 8.5pt; } .wide { overflow: visible; } }
"""


@dataclass(frozen=True)
class Table:
    """A table of texts, the first column of which heads its rows; ``tone`` says of a text whether it is good or bad."""

    caption: str
    columns: tuple
    rows: tuple
    tone: Callable = lambda text: ""


@dataclass(frozen=True)
class Section:
    """A heading with lines of text, tables, and figures as (path, what it shows)."""

    title: str
    lines: tuple = ()
    tables: tuple = ()
    figures: tuple = ()


@dataclass(frozen=True)
class Report:
    """Sections under a title, to be written as Markdown or HTML."""

    title: str
    sections: tuple

    def markdown(self, beside="."):
        """Return the report as Markdown; links to figures are relative to the folder ``beside``."""
        parts = [f"# {_markdown(self.title)}"]
        for section in self.sections:
            parts += [f"## {_markdown(section.title)}", *map(_markdown, section.lines)]
            for table in section.tables:
                parts += [_markdown(table.caption)] * bool(table.caption) + [_markdown_table(table)]
            for path, shows in section.figures:
                link = quote(Path(os.path.relpath(path, beside)).as_posix())
                parts.append(f"![{_markdown(shows)}]({link})")
        return "\n\n".join(parts) + "\n"

    def html(self):
        """Return the report as one HTML page that needs nothing else: figures are inside it."""
        parts = [f"<h1>{escape(self.title)}</h1>"]
        for section in self.sections:
            parts += [f"<h2>{escape(section.title)}</h2>", *(f"<p>{escape(line)}</p>" for line in section.lines)]
            parts += map(_html_table, section.tables)
            parts += [_html_figure(path, shows) for path, shows in section.figures]
        head = (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        )
        return head + "\n".join(parts) + "\n</body>\n</html>\n"


def _markdown(text):
    """Return a text in which nothing is taken for Markdown or HTML; words_with_underscores are words."""
    text = escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"[\\`*\[\]|~#]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)


def _markdown_table(table):
    rows = [[_markdown(cell) for cell in row] for row in (table.columns or ("", ""), *table.rows)]
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"| {' | '.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))} |" for row in rows]
    return "\n".join([lines[0], f"| {' | '.join('-' * w for w in widths)} |", *lines[1:]])


def _html_table(table):
    caption = f"<caption>{escape(table.caption)}</caption>\n" if table.caption else ""
    columns = "".join(f'<th scope="col">{escape(each)}</th>' for each in table.columns)
    head = f"<thead><tr>{columns}</tr></thead>\n" if columns else ""
    body = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(_html_cell(cell, table.tone(cell)) for cell in others)}</tr>'
        for first, *others in table.rows
    )
    return f'<div class="wide"><table>\n{caption}{head}<tbody>\n{body}\n</tbody>\n</table></div>'


def _html_cell(text, tone):
    classes = " ".join(name for name in (tone, "short" if len(text) < 24 else "") if name)
    return f'<td class="{classes}">{escape(text)}</td>' if classes else f"<td>{escape(text)}</td>"


def _html_figure(path, shows):
    try:
        image = base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise ParameterError(f"{path}: cannot be read: {error.strerror}") from None
    source = f"data:image/png;base64,{image}"
    return f'<figure><img src="{source}" alt="{escape(shows)}"><figcaption>{escape(shows)}</figcaption></figure>'


def check_out(out):
    """Return the path of a page to be written.

    Raises
    ------
    ParameterError
        If its name does not end in .html or .md, or there is a file that is no page of neurosim's.
    """
    out = Path(out)
    if out.suffix.lower() not in (".html", ".md"):
        raise ParameterError(f"--out: a file that ends in .html or .md is needed, got {str(out)!r}")
    try:
        taken = out.exists() and not (out.is_file() and MARK in out.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        taken = True
    if taken:
        raise ParameterError(f"{out} is there and not a report; give another file to --out")
    return out


def write(page, out):
    """Write a page into a file: .html for one page with the figures inside it, .md for Markdown with links to them.

    Parameters
    ----------
    page : Report
        What is written.
    out : path
        A page that is there is written over; see :func:`check_out`.

    Returns
    -------
    Path

    Raises
    ------
    RunError
        If the file cannot be written.
    """
    out = check_out(out)
    text = page.html() if out.suffix.lower() == ".html" else page.markdown(out.parent)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    Run(out.parent, {}).write(out.name, f"{text}{MARK}\n".encode(errors="replace"))
    return out
