"""TOML files that users write: what they say, and in which line they say it."""

import contextlib
import hashlib
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from neurosim.errors import NeurosimError, ParameterError, unknown

BLANK = re.compile(r"(?:[\s,]|#[^\n]*)*")
BARE = re.compile(r"[^,\]}#\n]*")  # a number, a date, true or false
KEY = re.compile(r'[^\S\n]*("(?:\\.|[^"\\])*"|\'[^\']*\'|[\w-]+)[^\S\n]*')
STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")|\'\'\'.*?\'{3,5}(?!\')|"(?:\\.|[^"\\])*"|\'[^\']*\'', re.DOTALL
)  # fmt: skip
KINDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
    bool: "true or false",
}


@dataclass(frozen=True)
class Specification:
    """A TOML file, read: its tables, its bytes with their hash, and the line of every key.

    Attributes
    ----------
    path : Path
        Where the file is.
    content : bytes
        What it holds.
    tables : dict
        The same as Python's ``tomllib`` reads it.
    """

    path: Path
    content: bytes
    tables: dict
    lines: dict = field(repr=False)

    @classmethod
    def read(cls, path):
        """Read a file.

        Raises
        ------
        ParameterError
            If it cannot be read or is not TOML; the message has the line.

        Examples
        --------
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "claim.toml")
        >>> _ = path.write_text("alpha = 0.05\\n[levels.one]\\nset = {eta = 1}\\n")
        >>> spec = Specification.read(path)
        >>> spec.where("levels", "one", "set", "eta")
        'claim.toml, line 3'
        """
        path = Path(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ParameterError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            raise ParameterError(f"{path.name}, line {line}: not a text in UTF-8") from None
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ParameterError(_syntax(path.name, text, str(error))) from None
        return cls(path, content, tables, _Lines(text.replace("\r\n", "\n")).found)

    @property
    def name(self):
        """The file's name without its ending."""
        return self.path.stem

    @property
    def sha256(self):
        """The hash of the file's bytes."""
        return hashlib.sha256(self.content).hexdigest()

    def where(self, *place):
        """Return the file's name and the line of a key, as ``spec.where("claims", 0, "metric")``.

        What is not in the file is where its table is.
        """
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.path.name}, line {self.lines[place]}" if place else self.path.name

    def error(self, message, *place):
        """Return a ParameterError that begins with the line of a key."""
        return ParameterError(f"{self.where(*place)}: {message}")

    def get(self, *place, default=None):
        """Return what the file says at a place, or a default."""
        found = self.tables
        for key in place:
            try:
                found = found[key]
            except (KeyError, IndexError, TypeError):
                return default
        return found

    def value(self, *place, kind, default=None, within=None, above=None, below=None):
        """Return what the file says at a place, checked.

        Parameters
        ----------
        place : str or int
            Keys, and numbers of elements.
        kind : type or tuple
            str, bool, int, float (a whole number will do), list or dict; a tuple of texts is a choice.
        default
            Returned where the file says nothing.
        within : (low, high), optional
            The range of a number.
        above, below : number, optional
            The range without its borders.

        Raises
        ------
        ParameterError
            With the line, for another kind, an unknown word or a number out of the range.
        """
        found = self.get(*place)
        if found is None:
            return default
        name = next(key for key in reversed(place) if isinstance(key, str))
        if isinstance(kind, tuple):
            if not isinstance(found, str) or found not in kind:
                raise unknown(f"value of {name}", found, kind, error=lambda text: self.error(text, *place))
            return found
        number = isinstance(found, (int, float)) and not isinstance(found, bool)
        if not (number if kind is float else isinstance(found, kind) and (kind is bool or not isinstance(found, bool))):
            raise self.error(f"{name}: {KINDS[kind]} is needed, got {found!r}", *place)
        if number:
            low, high = within or (-float("inf"), float("inf"))
            wrong = not low <= found <= high or (above is not None and not found > above)
            if wrong or (below is not None and not found < below) or found in (float("inf"), -float("inf")):
                limits = [f"within {low} and {high}"] * bool(within)
                limits += [f"above {above}"] * (above is not None) + [f"below {below}"] * (below is not None)
                raise self.error(f"{name}: must be {' and '.join(limits) or 'finite'}, got {found}", *place)
        return found

    def check(self, place, known, kind="key"):
        """Raise an error with the line and the nearest name for a key of a table that is not known.

        Parameters
        ----------
        place : tuple
            The table's place; () is the file itself.
        known : iterable of str
            What there is.
        kind : str
            What a key stands for.
        """
        table = self.get(*place, default={})
        if not isinstance(table, dict):
            raise self.error(f"{place[-1]}: a table is needed, got {table!r}", *place)
        for key in table:
            if key not in known:
                raise unknown(kind, key, known, error=lambda text, key=key: self.error(text, *place, key))

    @contextlib.contextmanager
    def naming(self, *places):
        """Put the line in front of the errors of neurosim that are raised inside.

        Parameters
        ----------
        places : tuples
            Tables, or keys. The line is that of the first key in one of these tables that the error names, itself or by
            its value; otherwise that of the first place.
        """
        try:
            yield
        except NeurosimError as error:
            said = str(error).replace("--set says", "a setting says").removeprefix("--")  # a file has no options
            named = None
            head = said.split(":")[0]
            for place in places:
                for key, value in found.items() if isinstance(found := self.get(*place), dict) else ():
                    quoted = f"'{key}'" in head or f"'{value}'" in head
                    if named is None and (head == key or quoted or head.startswith(f"{value} ")):
                        named = (*place, key)
            raise type(error)(f"{self.where(*(named or places[0]))}: {said}") from None

    @staticmethod
    def text(value):
        """Return a value as a text for :meth:`neurosim.experiment.Parameter.read`: a list has commas in it.

        Examples
        --------
        >>> Specification.text([500, 300]), Specification.text(0.1), Specification.text("5*ms")
        ('500,300', '0.1', '5*ms')
        """
        if isinstance(value, list):
            return ",".join(map(Specification.text, value))
        return str(value).lower() if isinstance(value, bool) else str(value)


def _syntax(name, text, said):
    """Return what tomllib says of a mistake, with the line in front."""
    match = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)", said)
    line = match[1] if match and match[1] else text.rstrip("\n").count("\n") + 1
    return f"{name}, line {line}: not TOML: {said[: match.start()] if match else said}"


class _Lines:
    """Finds the line of every key and element in a text that is known to be TOML."""

    def __init__(self, text):
        self.text, self.at, self.found, self.counts = text, 0, {}, {}
        table = ()
        while self._skip() < len(text):
            if text.startswith("[[", self.at):
                table = self._header(2)
                self.counts[table] = self.counts.get(table, -1) + 1
                table += (self.counts[table],)
            elif text.startswith("[", self.at):
                table = self._header(1)
            else:
                self._pair(table)
                continue
            self.found.setdefault(table, self._line(self.began))

    def _skip(self):
        self.at = BLANK.match(self.text, self.at).end()
        return self.at

    def _line(self, at):
        return self.text.count("\n", 0, at) + 1

    def _header(self, brackets):
        """Read a header; return its place: an array of tables before the last name stands for its last table."""
        self.began = self.at
        self.at += brackets
        *before, last = self._key()
        self.at += brackets
        place = ()
        for name in before:
            place += (name,)
            self.found.setdefault(place, self._line(self.began))
            if place in self.counts:
                place += (self.counts[place],)
        return (*place, last)

    def _key(self):
        """Read a key, with dots or not, as a tuple of names."""
        names = []
        while True:
            match = KEY.match(self.text, self.at)
            self.at = match.end()
            quoted = match[1][0] in "\"'"
            names.append(next(iter(tomllib.loads(f"{match[1]} = 1"))) if quoted else match[1])
            if not self.text.startswith(".", self.at):
                return tuple(names)
            self.at += 1

    def _pair(self, table):
        """Read ``key = value``."""
        line = self._line(self.at)
        place = table
        for name in self._key():
            place += (name,)
            self.found.setdefault(place, line)
        self.at += 1  # the equals sign
        self._value(place)

    def _value(self, place):
        """Read a value and find what is inside it."""
        self._skip()
        self.found.setdefault(place, self._line(self.at))
        opening = self.text[self.at]
        if opening in "[{":
            self.at += 1
            count = 0
            while self.text[self._skip()] not in "]}":
                if opening == "{":
                    self._pair(place)
                else:
                    self._value((*place, count))
                    count += 1
            self.at += 1
        else:
            self.at = (STRING if opening in "\"'" else BARE).match(self.text, self.at).end()
