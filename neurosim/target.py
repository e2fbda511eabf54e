"""How brian2 runs a population's equations: the NumPy target, kept in the population's own precision.

Under NumPy 2 one float64 scalar turns every float32 array that it meets into float64. brian2's NumPy target
puts its time step and its constants into the code as such scalars, so float32 populations would be computed
in float64 at more than twice the cost. :class:`SinglePrecisionCodeObject` is brian2's NumPy code object with
a float32 time step and float32 random draws. The generators of these draws are made anew, from NumPy's global
state, at the start of every ``Network.run``: the same seed gives the same numbers for the same sequence of runs.
"""

import brian2
import numpy as np
from brian2.codegen.runtime.numpy_rt import NumpyCodeObject
from brian2.core.functions import DEFAULT_FUNCTIONS, Function
from brian2.core.variables import ArrayVariable


class SinglePrecisionCodeObject(NumpyCodeObject):
    """brian2's NumPy code object for groups whose state is float32."""

    class_name = "numpy_single"

    def variables_to_namespace(self):
        super().variables_to_namespace()
        for name, variable in self.variables.items():
            if isinstance(variable, ArrayVariable) and variable.scalar and variable.constant:
                self._single(name, variable)

    def _single(self, name, variable):
        """Replace a constant scalar of double precision, as ``dt``, by a float32 copy."""
        array_name = self.generator_class.get_array_name(variable)
        if self.namespace[array_name].dtype == np.float64:
            self.namespace[array_name] = self.namespace[array_name].astype(np.float32)
            self.namespace[name] = self.namespace[array_name][0]


def _give_numpy(function):
    """Let our class run a function that has no text for NumPy by calling it, as brian2's own class does."""
    try:
        function.implementations[SinglePrecisionCodeObject]
    except KeyError:
        function.implementations.add_numpy_implementation(function.pyfunc)


def callable_in_text(namespace):
    """Return a namespace in which a user's functions (with ``check_units``) are brian2 functions for every target."""
    known = dict(namespace)
    for name, value in namespace.items():
        if callable(value) and hasattr(value, "_arg_units") and not isinstance(value, Function):
            known[name] = Function(value)
            _give_numpy(known[name])
    return known


def _generator():
    """Return a fast generator seeded from NumPy's global state, so that :func:`brian2.seed` decides its draws."""
    return np.random.Generator(np.random.SFC64(np.random.randint(2**32, size=4, dtype=np.uint64)))


def _uniform(owner):
    """Return a function that draws multiples of 2^-24 in [0, 1), as ``Generator.random`` does, but faster."""
    generator = _generator()

    def draw(index):
        if isinstance(index, int):
            return generator.random(dtype=np.float32)
        bits = generator.bit_generator.random_raw((len(index) + 1) // 2).view(np.uint32)[: len(index)]
        bits >>= 8
        values = bits.view(np.int32).astype(np.float32)
        values *= np.float32(2.0**-24)
        return values

    return draw


def _normal(owner):
    generator = _generator()
    return lambda index: generator.standard_normal(None if isinstance(index, int) else len(index), dtype=np.float32)


# An implementation for our own class; what other code objects do is left as it is.
for function in DEFAULT_FUNCTIONS.values():
    _give_numpy(function)
DEFAULT_FUNCTIONS["rand"].implementations.add_dynamic_implementation(SinglePrecisionCodeObject, code=_uniform)
DEFAULT_FUNCTIONS["randn"].implementations.add_dynamic_implementation(SinglePrecisionCodeObject, code=_normal)


def code_object_class(dtype):
    """Return the code object class for a population of this precision, or None for brian2's own choice.

    brian2's preference ``codegen.target`` is obeyed where it names a target; its default "auto", which would
    compile for 13 to 32 s, means the NumPy target here.
    """
    chosen = brian2.prefs.codegen.target
    if chosen not in ("auto", "numpy"):
        return None
    return SinglePrecisionCodeObject if np.dtype(dtype) == np.float32 else NumpyCodeObject
