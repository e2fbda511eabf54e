"""How brian2 runs a population's equations: the NumPy target, kept in the population's own precision.

Under NumPy 2 one float64 scalar turns every float32 array that it meets into float64. brian2's NumPy target
puts its time step and its constants into the code as such scalars, so float32 populations would be computed
in float64 at more than twice the cost. :class:`SinglePrecisionCodeObject` is brian2's NumPy code object with
a float32 time step and float32 random draws. The generators of these draws are made anew, from NumPy's global
state, at the start of every ``Network.run``: the same seed gives the same numbers for the same sequence of runs.
Inside :func:`continued_draws` they live on from run to run, so that a run may be cut in two at any time step.
"""

import brian2
import numpy as np
from brian2.codegen.runtime.numpy_rt import NumpyCodeObject
from brian2.core.functions import DEFAULT_FUNCTIONS, Function
from brian2.core.variables import ArrayVariable
from brian2.groups.group import CodeRunner
from scipy.special import exprel

from neurosim.errors import ParameterError


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


def _new_generator():
    """Return a fast generator seeded from NumPy's global state, so that :func:`brian2.seed` decides its draws."""
    return np.random.Generator(np.random.SFC64(np.random.randint(2**32, size=4, dtype=np.uint64)))


class ContinuedDraws:
    """The generators of float32 draws that live on from run to run; see :func:`continued_draws`."""

    def __init__(self):
        self._generators = {}

    def __enter__(self):
        _active.append(self)
        return self

    def __exit__(self, *error):
        _active.pop()

    def generator(self, key):
        """Return the generator kept under this key; the first time it is seeded from NumPy's global state."""
        if key not in self._generators:
            self._generators[key] = _new_generator()
        return self._generators[key]

    def state(self):
        """Return the state of every generator: {"POPULATION/rand" or "POPULATION/randn": six numbers of 64 bits}."""
        return {key: _as_words(generator.bit_generator.state) for key, generator in self._generators.items()}

    def set_state(self, states):
        """Set the generators to states that :meth:`state` gave; those that ``states`` does not name are forgotten.

        Raises
        ------
        ParameterError
            If a state is none.
        """
        found = {key: _as_state(key, words) for key, words in states.items()}
        kept = {key: self._generators.get(key) or np.random.Generator(np.random.SFC64(0)) for key in found}
        for key, generator in kept.items():
            generator.bit_generator.state = found[key]
        self._generators = kept


_active = []  # the contexts entered; the innermost counts


def continued_draws():
    """Return a context in which the generators of float32 draws live on from run to run.

    One ``Network.run`` of ten steps and two of five then draw the same numbers. A generator is kept under the
    population's name and the kind of draw ("h/rand", "h/randn"), so that populations of one name in two networks, as
    for training and for testing, draw from one stream, one after the other. Contexts may be nested, the innermost
    counts, and one may be entered again: give a network a context of its own where its draws must not depend on
    another's. :func:`brian2.seed` decides where a new stream starts, and does not reach those that go on.

    Returns
    -------
    ContinuedDraws
        With ``state()`` and ``set_state(states)``, for checkpoints.

    Examples
    --------
    >>> from brian2 import Network
    >>> from neurosim import Population, neurons
    >>> x = Population(3, neurons.BERNOULLI_INPUT, order=0, name="x", namespace={"p_max": 1.0})
    >>> network = Network(x)
    >>> with continued_draws() as draws:
    ...     network.run(5 * x.clock.dt)
    ...     network.run(5 * x.clock.dt)
    >>> list(draws.state())
    ['x/rand']
    """
    return ContinuedDraws()


def _as_words(state):
    words = (*state["state"]["state"], state["has_uint32"], state["uinteger"])
    return np.array([int(word) for word in words], np.uint64)


def _as_state(key, words):
    words = np.asarray(words)
    if words.dtype != np.uint64 or words.shape != (6,) or words[4] > 1 or words[5] >= 2**32:
        raise ParameterError(f"continued_draws: what is given for '{key}' is no state of a generator")
    state = {"bit_generator": "SFC64", "state": {"state": words[:4].copy()}}
    return state | {"has_uint32": int(words[4]), "uinteger": int(words[5])}


def _generator(owner, kind):
    """Return the generator of one kind of draw for the group whose code is made."""
    return _active[-1].generator(f"{owner.name}/{kind}") if _active else _new_generator()


def _uniform(owner):
    """Return a function that draws multiples of 2^-24 in [0, 1), as ``Generator.random`` does, but faster."""
    generator = _generator(owner, "rand")

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
    generator = _generator(owner, "randn")
    return lambda index: generator.standard_normal(None if isinstance(index, int) else len(index), dtype=np.float32)


# An implementation for our own class; what other code objects do is left as it is.
for function in DEFAULT_FUNCTIONS.values():
    _give_numpy(function)
for name, ufunc in {"log1p": np.log1p, "expm1": np.expm1, "exprel": exprel}.items():
    # brian2 checks units in every call of these, at the cost of 150 us
    DEFAULT_FUNCTIONS[name].implementations.add_dynamic_implementation(
        SinglePrecisionCodeObject, code=lambda owner, ufunc=ufunc: ufunc
    )
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


# What else decides draws: NumPy's global state, and on the Cython target buffers filled from it.


def global_draws():
    """Return the state of NumPy's global generator, which float64 populations draw from, as arrays."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    if kind != "MT19937":
        raise ParameterError(f"NumPy's global generator is {kind}; its state can be stored for MT19937 only")
    return {
        "keys": keys.astype(np.uint32),
        "position": np.array([position, has_gauss], np.int64),
        "gauss": np.array([gauss], np.float64),
    }


def set_global_draws(arrays):
    """Set NumPy's global generator to a state that :func:`global_draws` gave.

    Raises
    ------
    ParameterError
        If it is none.
    """
    try:
        keys, (position, has_gauss), (gauss,) = (arrays[name] for name in ("keys", "position", "gauss"))
        np.random.set_state(("MT19937", keys, int(position), int(has_gauss), float(gauss)))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ParameterError(f"what is given is no state of NumPy's global generator: {error}") from None


def fresh_buffers():
    """Let the Cython target's next draws come from NumPy's global state, not from what is left of the last ones.

    It draws many numbers ahead into buffers, which are no state that could be stored.
    """
    device = brian2.get_device()
    for name in ("rand_buffer_index", "randn_buffer_index"):
        index = getattr(device, name, None)
        if index is not None:
            index[:] = 0


def can_stop_within_epoch(network):
    """Say whether a checkpoint between any two time steps holds all that decides the network's further draws.

    It does where all code runs on NumPy; the Cython target's buffers could be halfway used up (see
    :func:`fresh_buffers`).
    """
    device = brian2.get_device()
    runners = [each for each in network.sorted_objects if isinstance(each, CodeRunner)]
    numpy_only = {NumpyCodeObject, SinglePrecisionCodeObject}  # other targets' classes inherit from these
    return {device.code_object_class(each.codeobj_class) for each in runners} <= numpy_only
