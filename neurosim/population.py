"""Population: a brian2 NeuronGroup with replicas, lanes and a place in the sweep."""

import re

import brian2
import numpy as np
from brian2.core.functions import Function

from neurosim.errors import ParameterError
from neurosim.limits import check_fits
from neurosim.neurons import NeuronType
from neurosim.target import callable_in_text, code_object_class

SLOTS_PER_ORDER = 10  # groups run at 10 k, updates at 10 k + 1, spikes at 10 k + 2, projections at 10 k + 3 and 4
UPDATE, SPIKE, LEARN_FIRST, DELIVER = 1, 2, 3, 4


class Population(brian2.NeuronGroup):
    """Neurons of one kind, simulated in several replicas and lanes at once.

    An ordinary ``NeuronGroup`` of ``replicas * lanes * n`` neurons, replica by replica and lane by lane, so
    that brian2's monitors, slices and equations work on it: the neurons of the first lane of the first replica
    are ``population[:n]``.

    Parameters
    ----------
    n : int
        Number of neurons of the network described; every lane of every replica has this many.
    model : NeuronType
        Equations, update and spikes.
    order : int
        Place in the sweep: populations of a lower order update first, and deliver before the next order updates.
    replicas : int
        Independent networks simulated side by side.
    lanes : int
        Inputs presented side by side to the same weights.
    namespace : dict
        Constants that the model's text names, with units.
    dtype : numpy dtype
        Precision of the state: float32 (default) or float64.
    method : str, optional
        brian2's integration method; the model's own if it is left out.
    clock : brian2.Clock, optional
        The clock that all populations of a network share; brian2's default clock if it is left out.
    name : str, optional
        Name of the group in brian2.

    Raises
    ------
    ParameterError
        If a size is not a positive whole number.

    Examples
    --------
    >>> from brian2 import ms
    >>> from neurosim import Population, neurons
    >>> h = Population(3, neurons.BERNOULLI, order=1, lanes=2, namespace={"tau": 5 * ms})
    >>> h.view("v").shape
    (1, 2, 3)
    """

    def __init__(
        self, n, model, *, order, replicas=1, lanes=1, namespace=None, dtype=np.float32,
        method=None, clock=None, name="population*",
    ):  # fmt: skip
        if not isinstance(model, NeuronType):
            raise ParameterError(f"Population.model: a NeuronType is needed, got {type(model).__name__}")
        for word, size in (("n", n), ("replicas", replicas), ("lanes", lanes)):
            if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
                raise ParameterError(f"Population.{word}: a whole number of at least 1 is needed, got {size!r}")
        if not isinstance(order, (int, np.integer)) or order < 0:
            raise ParameterError(f"Population.order: a whole number of at least 0 is needed, got {order!r}")
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise ParameterError(f"Population.dtype: float32 or float64 is needed, got {np.dtype(dtype)}")
        self.n, self.replicas, self.lanes, self.place = int(n), int(replicas), int(lanes), int(order)
        check_fits(self.shape, dtype, f"Population {name}")
        self.model = model
        self._views = {}  # brian2 keeps a state variable's array for the group's life
        self.precision = np.dtype(dtype)
        first = SLOTS_PER_ORDER * self.place
        super().__init__(
            self.replicas * self.lanes * self.n,
            model.equations,
            method=method or model.method,
            threshold=f"{model.spike} > 0.5" if model.spike else None,
            reset="" if model.spike else None,
            namespace=callable_in_text(namespace or {}),
            dtype=self.precision.type,
            clock=clock,
            order=first,
            name=name,
            codeobj_class=code_object_class(dtype),
        )
        if model.update.strip():
            self.run_regularly(_dedent(model.update), when="groups", order=first + UPDATE, clock=self.clock)
        if model.spike:
            self.set_event_schedule("spike", when="groups", order=first + SPIKE)

    @property
    def shape(self):
        """(replicas, lanes, n)."""
        return self.replicas, self.lanes, self.n

    def view(self, variable):
        """Return a state variable as a live array of shape (replicas, lanes, n), in base units.

        Writing into the array changes the state. Expressions of the model (as ``psi``) have no array.
        """
        if variable in self._views:
            return self._views[variable]
        known = self.variables.get(variable)
        if known is None or not getattr(known, "array", False) or known.size != len(self):
            raise ParameterError(
                f"Population.view: '{variable}' is not a state variable of {self.name}; "
                f"it has {', '.join(self.state_variables)}"
            )
        self._views[variable] = known.get_value().reshape(self.shape)
        return self._views[variable]

    @property
    def state_variables(self):
        """Names of the variables that hold one value a neuron."""
        names = self.equations.diff_eq_names | self.equations.parameter_names
        return sorted(name for name in names if not self.variables[name].scalar)

    def set_from_outside(self, variable):
        """Say whether a variable changes only when something outside of the equations sets it, as a clamp does."""
        assigned = re.search(rf"^\s*{variable}\s*[-+*/]?=", self.model.update, re.M)
        received = variable in self.__dict__.get("_inboxes", {})
        return variable in self.equations.parameter_names and not assigned and not received

    @property
    def expressions(self):
        """The model's expressions (as ``psi``), name to text."""
        return {name: str(self.equations[name].expr) for name in self.equations.subexpr_names}

    def _check_for_invalid_states(self):
        # brian2 compares with 1e50, which NumPy cannot cast to float32 without a warning
        with np.errstate(over="ignore"):
            super()._check_for_invalid_states()

    def describe(self, index):
        """Return (replica, lane, neuron) of an index into the group."""
        return tuple(int(k) for k in np.unravel_index(index, self.shape))

    def dimensions(self):
        """Return the dimension of every variable and expression that a rule may name."""
        return {
            name: variable.dim
            for name, variable in self.variables.items()
            if not isinstance(variable, Function) and name in self.equations and not variable.scalar
        }


def _dedent(text):
    return "\n".join(line.strip() for line in text.strip().splitlines())
