"""Checkpoints: all that a simulation depends on, kept in files so that a run can go on where it was killed.

A checkpoint is one file. Its first line is JSON (see :func:`write`), the rest an npz. The line holds the SHA-256 of the
whole file, with zeros where the hash itself stands, so that no bit of it can be wrong without being noticed.
"""

import contextlib
import hashlib
import inspect
import json
import os
import re
import zipfile
import zlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import brian2
import numpy as np
from brian2.core.variables import ArrayVariable, DynamicArrayVariable
from brian2.groups.group import Group, VariableOwner

from neurosim.errors import ParameterError
from neurosim.runs import writing

FORMAT = 1
NAME = "checkpoint-{:06d}.bin"
PATTERN = re.compile(r"checkpoint-(\d{6,})\.bin")
KEPT = 2  # checkpoints in a folder
NO_HASH = "0" * 64
LARGEST_SIZE = 10**18  # bytes: the first line has room for a number as long
LONGEST_LINE = 2**26  # bytes of a first line that is read at all
PIECE = 2**22  # bytes that are hashed at a time


# What a simulation depends on


def network_state(network):
    """Return all that the next time step of a network depends on, between two runs.

    The time; the variables of populations and of other groups of brian2; and what the ``state()`` of every other object
    gives: weights as they are stored, what was sent last, the presentation's place, what recorders hold. Not among them
    are the examples that are shown, what a NetworkOperation remembers, and the generators of random numbers, for which
    see :mod:`neurosim.target`.

    Parameters
    ----------
    network : brian2.Network
        Not running. Its populations and projections need names of their own: those that brian2 finds for them depend
        on what else the process has made, and they decide the order of what happens in a step.

    Returns
    -------
    dict of str to array
        Copies, by "OBJECT/VARIABLE"; an object with a default name is called "presentation*".

    Raises
    ------
    ParameterError
        If an object cannot be stored, or needs a name.
    """
    arrays = {"t": np.array(network.t_, np.float64)}
    for key, each in _owners(network).items():
        arrays |= {f"{key}/{name}": values for name, values in _state(each).items()}
    return arrays


def set_network_state(network, arrays):
    """Set a network that was built as the stored one to a state that :func:`network_state` gave.

    Raises
    ------
    ParameterError
        If names, shapes or precisions differ, as they do where the stored network was another one.
    """
    owners = _owners(network)
    parts = {key: {} for key in owners}
    for name, values in arrays.items():
        key, _, variable = name.rpartition("/")
        parts.setdefault(key, {})[variable] = values
    time = parts.pop("", {})
    if set(time) != {"t"} or set(parts) != set(owners):
        lacking = sorted(set(owners) - set(parts)) + ["the time"] * ("t" not in time)
        foreign = sorted(set(parts) - set(owners)) + sorted(set(time) - {"t"})
        raise ParameterError(f"the state is not this network's: {_differing(lacking, foreign)}")
    for key, each in owners.items():
        _check_fits(key, each, parts[key])
    for key, each in owners.items():
        _set_state(each, parts[key])
    network.t_ = float(time["t"])


def _owners(network):
    """Return the objects of a network that have a state, and its clocks, by names that every process gives them."""
    found = {}
    objects = network.sorted_objects
    for each in [*objects, *dict.fromkeys(each.clock for each in objects)]:
        if isinstance(each, VariableOwner):
            stored = type(each)._full_state is VariableOwner._full_state
        else:
            stored = hasattr(each, "set_state")
        if not stored:
            if hasattr(each, "_full_state"):
                raise ParameterError(
                    f"{each.name}: the state of a {type(each).__name__} cannot be kept in a checkpoint"
                )
            continue
        key = _key(each)
        decides_order = isinstance(each, Group) or hasattr(each, "transmissions")
        if key in found or (decides_order and key != each.name):
            raise ParameterError(
                f"{each.name} (a {type(each).__name__}) needs a name of its own to be kept in a checkpoint: brian2's "
                "default names depend on what else the process has made"
            )
        found[key] = each
    return found


def _key(each):
    """Return an object's name, or its default name where it has not been given one."""
    for kind in type(each).__mro__:
        default = inspect.signature(kind.__init__).parameters.get("name")
        if default is not None and str(default.default).endswith("*"):
            base = default.default[:-1]
            return default.default if re.fullmatch(rf"{base}(_\d+)?", each.name) else each.name
    return each.name


def _state(each):
    if not isinstance(each, VariableOwner):
        return each.state()
    return {name: np.array(variable.get_value()) for name, variable in _variables(each).items()}


def _variables(group):
    """Return a group's own variables, without those that never change; a clock's with its time step."""
    own = {
        name: variable
        for name, variable in group.variables.items()
        if isinstance(variable, ArrayVariable) and variable.owner is not None and variable.owner.name == group.name
    }
    return {name: v for name, v in own.items() if not _fixed(v) or not isinstance(group, brian2.core.base.BrianObject)}


def _fixed(variable):
    return variable.constant and variable.read_only


def _check_fits(key, each, arrays):
    """Raise if what is stored is not what this object has: names, shapes, precisions."""
    here = _state(each)
    if set(here) != set(arrays):
        differing = _differing(sorted(set(here) - set(arrays)), sorted(set(arrays) - set(here)))
        raise ParameterError(f"the state is not that of {key}: {differing}")
    grows = getattr(each, "grows", ())
    for name, values in arrays.items():
        known = here[name]
        free = name.split()[0] in grows  # its first axis
        if isinstance(each, VariableOwner):
            free = isinstance(each.variables[name], DynamicArrayVariable)
            if _fixed(each.variables[name]) and not np.array_equal(known, values):
                raise ParameterError(f"{key}/{name} is {known} here and {values} in the state")
        alike = known.ndim == values.ndim and known.shape[free:] == values.shape[free:]
        if free and known.ndim == values.ndim and not (known.size and values.size):
            alike = True
        if known.dtype != values.dtype or not alike:
            raise ParameterError(
                f"{key}/{name} has the shape {known.shape} and the type {known.dtype} here, {values.shape} and "
                f"{values.dtype} in the state"
            )


def _differing(lacking, foreign):
    told = [f"it lacks {', '.join(lacking)}"] if lacking else []
    return "; ".join(told + ([f"it has {', '.join(foreign)}"] if foreign else []))


def _set_state(each, arrays):
    if not isinstance(each, VariableOwner):
        each.set_state(arrays)
        return
    for name, values in arrays.items():
        variable = each.variables[name]
        if isinstance(variable, DynamicArrayVariable):
            variable.resize(values.shape if values.ndim > 1 else len(values))
        if not _fixed(variable):
            variable.set_value(values)


# Several states in one checkpoint


def pack(parts):
    """Return ``{"PART/NAME": array}`` of ``{part: {name: array}}``."""
    return {f"{part}/{name}": values for part, arrays in parts.items() for name, values in arrays.items()}


def unpack(arrays):
    """Return ``{part: {name: array}}`` of ``{"PART/NAME": array}``; a part that had no arrays is not there."""
    parts = {}
    for key, values in arrays.items():
        part, _, name = key.partition("/")
        parts.setdefault(part, {})[name] = values
    return parts


# Files


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes
    ----------
    header : dict
        What was given to :func:`write`.
    arrays : dict of str to array
        Likewise.
    number : int
        Its number; the next is to be one higher.
    complaints : tuple of str
        What is wrong with newer ones, which were passed over.
    """

    header: dict
    arrays: dict
    number: int
    complaints: tuple = ()


def write(folder, number, header, arrays):
    """Write a checkpoint aside, rename it, and remove all but it and the one before.

    Its first line is ``{"format": 1, "neurosim": VERSION, "sha256": HASH, "bytes": LENGTH OF THE REST, "header":
    HEADER}``, filled up with spaces.

    Parameters
    ----------
    folder : path
        Where checkpoints are kept; made if it does not exist.
    number : int
        Counts the checkpoints of a run: one more than that of the last one written or read. Files with higher numbers
        are what was damaged then, and are removed.
    header : dict
        What JSON can hold.
    arrays : dict of str to array
        Of numbers.

    Raises
    ------
    RunError
        If the file cannot be written, as on a full disk.
    """
    folder = Path(folder)
    path = folder / NAME.format(number)
    aside = folder / f".{path.name}.{os.getpid()}"
    for name, values in arrays.items():
        if values.dtype.hasobject:
            raise ParameterError(f"a checkpoint holds arrays of numbers; '{name}' is one of objects")
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".checkpoint-*"):
            leftover.unlink()
        try:
            with aside.open("wb") as stream:
                _write(stream, header, arrays)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(aside, path)
            _sync(folder)
        finally:
            aside.unlink(missing_ok=True)
        kept = [number, *sorted((k for k in _numbers(folder) if k < number), reverse=True)][:KEPT]
        for other in set(_numbers(folder)) - set(kept):
            (folder / NAME.format(other)).unlink(missing_ok=True)


def read(folder):
    """Return the newest checkpoint that is whole, or None where there is none.

    Raises
    ------
    ParameterError
        If there are checkpoints and all of them are damaged; says what is wrong with each.
    """
    folder, complaints = Path(folder), []
    for number in sorted(_numbers(folder), reverse=True):
        path = folder / NAME.format(number)
        try:
            header, arrays = _read(path)
        except _DamagedError as error:
            complaints.append(f"{path}: {error}")
        else:
            return Checkpoint(header, arrays, number, tuple(complaints))
    if complaints:
        raise ParameterError(f"no checkpoint is whole: {'; '.join(complaints)}")
    return None


class _DamagedError(Exception):
    """What is wrong with a checkpoint's file."""


def _numbers(folder):
    names = os.listdir(folder) if folder.is_dir() else []
    return [int(found[1]) for found in map(PATTERN.fullmatch, names) if found]


def _first_line(header, size, digest):
    known = {"format": FORMAT, "neurosim": _version(), "sha256": digest, "bytes": size, "header": header}
    return json.dumps(known, default=_as_json).encode()


def _as_json(value):
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise ParameterError(f"a checkpoint's header holds what JSON can, not a {type(value).__name__}: {value!r}")


def _version():
    try:
        return version("neurosim")
    except PackageNotFoundError:
        return "unknown"


def _write(stream, header, arrays):
    room = len(_first_line(header, LARGEST_SIZE, NO_HASH))
    stream.write(b" " * room + b"\n")
    rest = _Hashed(stream)
    with zipfile.ZipFile(rest, "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(values), allow_pickle=False)
    rest.hash.update(_first_line(header, rest.size, NO_HASH).ljust(room) + b"\n")
    stream.seek(0)
    stream.write(_first_line(header, rest.size, rest.hash.hexdigest()).ljust(room))


class _Hashed:
    """A stream that passes on what is written and takes its hash; a zip archive is content with it."""

    def __init__(self, stream):
        self.stream, self.hash, self.size = stream, hashlib.sha256(), 0

    def write(self, piece):
        self.hash.update(piece)
        self.size += len(piece)
        return self.stream.write(piece)

    def flush(self):
        self.stream.flush()


def _read(path):
    """Return (header, arrays) of a file that is whole."""
    try:
        with path.open("rb") as stream:
            line = stream.readline(LONGEST_LINE)
            known = _known(line)
            size = path.stat().st_size - len(line)
            if size != known["bytes"]:
                raise _DamagedError(f"{size} bytes follow the first line, {known['bytes']} were written")
            digest = hashlib.sha256()
            while piece := stream.read(PIECE):
                digest.update(piece)
            digest.update(line.replace(known["sha256"].encode(), NO_HASH.encode()))
            if digest.hexdigest() != known["sha256"]:
                raise _DamagedError("its content is not what was written (SHA-256 differs)")
            stream.seek(len(line))
            with np.load(stream, allow_pickle=False) as stored:
                return known["header"], {name: stored[name] for name in stored}
    except OSError as error:
        raise _DamagedError(f"cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _DamagedError(f"cannot be read: {error}") from None


def _known(line):
    """Return what the first line says."""
    if not line:
        raise _DamagedError("empty")
    try:
        known = json.loads(line)
    except ValueError:
        raise _DamagedError("its first line cannot be read") from None
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        raise _DamagedError(f"not a checkpoint of this version of neurosim (format {FORMAT})")
    if not {"sha256", "bytes", "header"} <= set(known) or not re.fullmatch("[0-9a-f]{64}", str(known["sha256"])):
        raise _DamagedError("its first line is incomplete")
    return known


def _sync(folder):
    """Have the disk keep a folder's new names, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
