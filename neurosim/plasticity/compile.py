"""Compile a kernel's text with numba, once for every text on a machine.

The text is written to a file in the cache folder and imported from there, so that numba keeps the compiled code
beside it and the next process has it at once. Two compilations are made of it: ``serial`` for a range of rows, and
``threads``, which hands the ranges between ``edges`` to numba's threads; each is compiled when first called.
"""

import hashlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

HEADER = '''"""A kernel that neurosim made from the text of a rule or a transmit; may be deleted."""

import numpy as np
from numba import njit, prange

from neurosim.plasticity.functions import (
    abs, arccos, arcsin, arctan, ceil, clip, cos, cosh, dot, exp, expm1, exprel, floor, int_, log, log10, log1p, sign,
    sin, sinh, sqrt, tan, tanh,
)
'''
FAST = {"contract", "reassoc", "nsz"}  # sums may be reordered; nan and inf keep their meaning, the guards need them
PARALLEL_FROM = 100_000  # synapses from which waking the other threads pays
_compiled = {}


@dataclass(frozen=True)
class Compiled:
    """A kernel: call it with the number of synapses to visit, the range to cut among the threads, its arguments."""

    serial: object
    threads: object

    def __call__(self, work, first, last, *arguments):
        threads = 1 if work < PARALLEL_FROM else numba.get_num_threads()
        if threads == 1 or last - first < threads:
            self.serial(first, last, *arguments)
        else:
            self.threads(np.linspace(first, last, threads + 1).astype(np.int64), *arguments)


def compile_kernel(body, arguments, functions=None):
    """Return the kernel of this text.

    Parameters
    ----------
    body : str
        Definition of ``serial(first, last, ...)``, without a decorator.
    arguments : str
        Its arguments after ``first, last``.
    functions : mapping of str to callable, optional
        The user's own scalar functions that the text calls; such a kernel is compiled in every process anew.
    """
    options = f"error_model='numpy', fastmath={sorted(FAST)!r}".replace("[", "{").replace("]", "}")
    keep = "cache=True, " if not functions else ""
    text = f"""{HEADER}

@njit({keep}nogil=True, {options})
{body}

@njit({keep}parallel=True)
def threads(edges, {arguments}):
    for block in prange(edges.size - 1):
        serial(edges[block], edges[block + 1], {arguments})
"""
    if functions:
        space = {name: numba.njit(function) for name, function in functions.items()}
        exec(compile(text, "<rule>", "exec"), space)  # noqa: S102
        return Compiled(space["serial"], space["threads"])
    if text not in _compiled:
        module = _import(text)
        _compiled[text] = Compiled(module.serial, module.threads)
    return _compiled[text]


def cache_folder():
    """Return where kernels are kept: ``NEUROSIM_CACHE``, or the user's cache folder."""
    import pooch  # brings a progress bar along, which a notebook's kernel complains about

    return Path(os.environ.get("NEUROSIM_CACHE") or pooch.os_cache("neurosim")) / "kernels"


def _import(text):
    """Write the text into the cache folder, if it is not there, and import it; without a folder, run it as it is."""
    name = f"kernel_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
    path = cache_folder() / f"{name}.py"
    try:
        if not path.is_file() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".{os.getpid()}")
            aside.write_text(text)
            os.replace(aside, path)
    except OSError:
        return _run(text, name)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _run(text, name):
    """Run a text for which there is no file to keep compiled code beside."""
    module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec(name, None))
    exec(compile(text.replace("cache=True, ", ""), name, "exec"), module.__dict__)  # noqa: S102
    return module
