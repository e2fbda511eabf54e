"""Theory of updated random feedback in linear networks (section 3.2): one direction of the target, as neurons.

Equations   e = lambda_T - lambda_1 ... lambda_k    R_i = lambda_R,i + epsilon lambda_i, i = 2 ... k
            d lambda_i / dt = eta R_k ... R_{i+1} e lambda_{i-1} ... lambda_1              equation 16; 14 for k = 2
            Q_i = lambda_R,i lambda_i + epsilon lambda_i^2 / 2 - lambda_{i-1}^2 / 2 stays  equation 17: 0 from zero
            d e^2 / dt = -2 eta e^2 sum_i lambda_1^2 ... lambda_{i-1}^2 lambda_{i+1} R_{i+1} ... lambda_k R_k
            = -2 eta e^2 sum_i lambda_1^2 ... lambda_{i-1}^2 prod_{j>i} (epsilon lambda_j^2 + lambda_{j-1}^2) / 2
            where all Q_i are 0                                                           equation 18
Symbols     lambda_T singular value of the target T = U Lambda V^T; lambda_i strength of the forward weights W_i in that
            direction, R_i that of the feedback beside W_i, lambda_R,i its constant part; epsilon the share of the
            forward change that the feedback learns; e error; k number of layers of weights (all 1); eta speed (Hz), so
            that eta dt is the step of an Euler method
Ours        A step of size h of the Euler method changes Q_i by h^2 / 2 (epsilon v_i^2 - v_{i-1}^2) exactly, v being the
            right sides. From zero, signs of lambda_R,i do not matter: with lambda_i -> s_i lambda_i, s_i the sign of
            lambda_R,i and s_1 = s_2 ... s_k, the equations are those of positive ones.
            k = 2 from lambda_1(0) = a, R_2(0) of the other sign: R_2^2 - epsilon lambda_1^2 stays, so that at
            epsilon = (R_2(0) / a)^2 the flow ends in the saddle lambda_1 = R_2 = 0 and learns nothing.
            The matrices, whatever their start: with R_i = P_i + epsilon W_i^T, P_i W_i + (P_i W_i)^T +
            epsilon W_i^T W_i - W_{i-1} W_{i-1}^T stays; for gradient descent (P = 0, epsilon = 1) W_i^T W_i -
            W_{i-1} W_{i-1}^T.
            k = 3: near lambda_1 = R_3 = 0 where lambda_2 R_2 < 0 the two turn around each other with the angular speed
            e sqrt(epsilon |lambda_2 R_2|), on closed curves, the intersections of Q_2 and Q_3: there are whole regions
            of starts from which feedback that learns goes round for ever; fixed feedback does not. (A network's steps
            spiral out of there, each by the factor sqrt(1 + (eta dt speed)^2).)
Errata      Theorem 2 has lambda_1, lambda_2 and lambda_3 increase with epsilon. Not all can: in the end their product
            is lambda_T for every epsilon. The proof needs, and shows, that sqrt(epsilon) lambda_3 does; likewise
            sqrt(epsilon) lambda_2 for k = 2.
            Equation 30: the second term is + epsilon G_2 / F_3 dG_2/d epsilon. Equation 31: its second term has no
            factor epsilon. The proof puts in G_2^2 = lambda_1^4 / (F_2 + lambda_R,2)^2, printed as G_2. T_2 lacks the
            factor 1/2 after its last step. With C = |Y - W_2 W_1 X|^2 the gradient is twice equation 10's, and
            equation 10 needs X X^T = 1.
"""

from functools import cache

import numpy as np
from brian2 import Clock, Hz, Network, StateMonitor, second

from neurosim.errors import ParameterError
from neurosim.neurons import NeuronType
from neurosim.population import Population

SOURCE = "Amit 2018, equations 14 and 16"


@cache
def flow(depth):
    """Return the neurons of which each is one direction of the target, for so many layers of weights.

    Parameters
    ----------
    depth : int
        k, at least 2.

    Returns
    -------
    NeuronType
        With ``lambda_1 ... lambda_k``, the constants ``lambda_R2 ... lambda_Rk``, ``lambda_T``, ``epsilon`` and ``eta``
        of every neuron, and the expressions ``R_2 ... R_k`` and ``error``.

    Raises
    ------
    ParameterError
        If there are fewer than two layers: then there is no feedback.

    Notes
    -----
    Amit 2018, equation 16; 14 for k = 2.

    Examples
    --------
    >>> print(flow(2).equations)
    dlambda_1/dt = eta * R_2 * error : 1
    dlambda_2/dt = eta * error * lambda_1 : 1
    R_2 = lambda_R2 + epsilon * lambda_2 : 1
    error = lambda_T - lambda_1 * lambda_2 : 1
    lambda_R2 : 1
    lambda_T : 1
    epsilon : 1
    eta : Hz
    """
    if not isinstance(depth, (int, np.integer)) or depth < 2:
        raise ParameterError(f"depth: a whole number of at least 2 layers is needed, got {depth!r}")
    layers = range(1, depth + 1)
    lines = []
    for i in layers:
        above = [f"R_{j}" for j in range(depth, i, -1)]
        below = [f"lambda_{j}" for j in range(i - 1, 0, -1)]
        lines.append(f"dlambda_{i}/dt = {' * '.join(['eta', *above, 'error', *below])} : 1")
    lines += [f"R_{i} = lambda_R{i} + epsilon * lambda_{i} : 1" for i in layers[1:]]
    lines.append(f"error = lambda_T - {' * '.join(f'lambda_{i}' for i in layers)} : 1")
    lines += [f"lambda_R{i} : 1" for i in layers[1:]]
    lines += ["lambda_T : 1", "epsilon : 1", "eta : Hz"]
    return NeuronType(
        "\n".join(lines),
        method="rk4",
        symbols={f"lambda_{i}": f"strength of W_{i} in this direction of the target (1)" for i in layers}
        | {f"R_{i}": f"strength of the feedback beside W_{i} (1)" for i in layers[1:]}
        | {f"lambda_R{i}": f"the part of R_{i} that does not change (1)" for i in layers[1:]}
        | {
            "error": "e, what is left to learn in this direction (1)",
            "lambda_T": "singular value of the target (1)",
            "epsilon": "share of the forward change that the feedback learns: 0 FRFB, 1 URFB (1)",
            "eta": "speed; eta dt is the step (Hz)",
        },
        source=SOURCE,
    )


class _Directions(Population):
    """Neurons of a flow; where it has diverged its values are not finite, which those who read them see."""

    def _check_for_invalid_states(self):
        pass


def integrate(depth, epsilon, feedback, *, target=1.0, start=0.0, time=100.0, steps=1000, points=200, method="rk4"):
    """Integrate equation 16 for many directions at once, each a neuron.

    Parameters
    ----------
    depth : int
        Number k of layers of weights.
    epsilon, target, time : array_like, shape (n,)
        Of each direction: share of the change that the feedback learns, singular value of the target, and how much
        time of the flow passes. Numbers are for all.
    feedback : array_like, shape (depth - 1, n) or (depth - 1,)
        R_2(0) ... R_k(0).
    start : array_like, shape (depth, n), or number
        lambda_1(0) ... lambda_k(0).
    steps, points : int
        Steps of the method; after how many equal parts of them values are kept.
    method : str
        brian2's integration method: with "euler" a step is one of the networks' iterations.

    Returns
    -------
    dict of str to array
        ``time`` (points + 1, n) and ``error`` (points + 1, n); ``strength``, the lambda_i, (depth, points + 1, n);
        ``feedback``, the R_i, and ``conserved``, the Q_i, (depth - 1, points + 1, n).

    Raises
    ------
    ParameterError
        If shapes do not fit, or ``steps`` is not a multiple of ``points``.

    Examples
    --------
    >>> found = integrate(2, epsilon=[0, 1], feedback=[0.1], time=40)
    >>> found["error"][-1].round(3) + 0.0
    array([0., 0.])
    """
    model = flow(depth)
    if points < 1 or steps % points:
        raise ParameterError(f"steps: a multiple of the {points} points is needed, got {steps}")
    epsilon, target, time = (np.asarray(each, float) for each in (epsilon, target, time))
    feedback, start = np.asarray(feedback, float), np.asarray(start, float)
    if feedback.ndim not in (1, 2) or len(feedback) != depth - 1:
        raise ParameterError(f"feedback: {depth - 1} of them are needed for {depth} layers, got shape {feedback.shape}")
    if start.ndim and len(start) != depth:
        raise ParameterError(f"start: {depth} of them are needed for {depth} layers, got shape {start.shape}")
    feedback, start = (each[:, None] if each.ndim == 1 else each for each in (feedback, start))
    try:
        (n,) = np.broadcast_shapes((1,), epsilon.shape, target.shape, time.shape, feedback.shape[1:], start.shape[1:])
    except ValueError:
        raise ParameterError("epsilon, target, time, feedback, start: their numbers of directions differ") from None
    start = np.broadcast_to(start, (depth, n))
    clock = Clock(1 * second)
    neurons = _Directions(n, model, order=0, dtype=np.float64, method=method, clock=clock, name="directions*")
    neurons.view("epsilon")[...], neurons.view("lambda_T")[...] = epsilon, target
    neurons.eta = np.broadcast_to(time / steps, n) * Hz
    for i in range(1, depth + 1):
        neurons.view(f"lambda_{i}")[...] = start[i - 1]
        if i > 1:
            neurons.view(f"lambda_R{i}")[...] = feedback[i - 2] - epsilon * start[i - 1]
    layers = range(1, depth + 1)
    names = ["error", *(f"lambda_{i}" for i in layers), *(f"R_{i}" for i in layers[1:])]
    monitor = StateMonitor(neurons, names, record=True, dt=steps // points * second)
    network = Network(neurons, monitor)
    with np.errstate(over="ignore", invalid="ignore"):
        network.run(steps * second, namespace={})
    monitor.record_single_timestep()
    seen = {name: np.array(getattr(monitor, name)).T for name in names}
    strength = np.stack([seen[f"lambda_{i}"] for i in layers])
    returned = np.stack([seen[f"R_{i}"] for i in layers[1:]])
    with np.errstate(over="ignore", invalid="ignore"):
        kept = conserved(strength, returned, epsilon)
    return {
        "time": np.arange(points + 1)[:, None] / points * np.broadcast_to(time, n),
        "error": seen["error"],
        "strength": strength,
        "feedback": returned,
        "conserved": kept,
    }


def conserved(strength, feedback, epsilon):
    """Return Q_i = (R_i lambda_i - epsilon lambda_i^2 / 2) - lambda_{i-1}^2 / 2, which the flow does not change.

    With R_i = lambda_R,i + epsilon lambda_i this is the difference of the two sides of equation 17.

    Parameters
    ----------
    strength : array, shape (k, ...)
        lambda_1 ... lambda_k.
    feedback : array, shape (k - 1, ...)
        R_2 ... R_k.
    epsilon : float or array
        Share of the change that the feedback learns.
    """
    return strength[1:] * feedback - epsilon * strength[1:] ** 2 / 2 - strength[:-1] ** 2 / 2


def rate(strength, feedback):
    """Return the rate r at which the flow lowers the error: d e / dt = -eta r e.

    ``r = sum_i lambda_1^2 ... lambda_{i-1}^2 lambda_{i+1} R_{i+1} ... lambda_k R_k``, the second form of equation 18,
    which holds for every start. Near the end a step of Euler's method multiplies the error by 1 - eta dt r.

    Parameters
    ----------
    strength : array, shape (k, ...)
        lambda_1 ... lambda_k.
    feedback : array, shape (k - 1, ...)
        R_2 ... R_k.

    Examples
    --------
    >>> float(rate(np.array([2.0, 3.0]), np.array([5.0])))  # lambda_2 R_2 + lambda_1^2
    19.0
    """
    squares, loops = strength**2, strength[1:] * feedback
    return sum(squares[:i].prod(axis=0) * loops[i:].prod(axis=0) for i in range(len(strength)))


def rate_from_zero(strength, epsilon):
    """Return the rate of :func:`rate` where all weights started at zero, from the forward weights alone.

    ``r = sum_i lambda_1^2 ... lambda_{i-1}^2 prod_{j>i} (epsilon lambda_j^2 + lambda_{j-1}^2) / 2``: the last form of
    equation 18; equations 19 (k = 2) and 26 (k = 3) are its special cases.
    """
    squares = strength**2
    loops = (epsilon * squares[1:] + squares[:-1]) / 2
    return sum(squares[:i].prod(axis=0) * loops[i:].prod(axis=0) for i in range(len(strength)))


def ratio_needed(epsilon):
    """Return (1 + sqrt(1 + epsilon)) / 2, which Theorem 2 has lambda_R,2 / lambda_R,3 exceed."""
    return (1 + np.sqrt(1 + np.asarray(epsilon, float))) / 2


def epsilon_of_saddle(start, feedback):
    """Return the epsilon at which two layers that start at lambda_1 = start against R_2 = feedback never learn."""
    return (np.asarray(feedback, float) / start) ** 2


def time_to(time, error, level):
    """Return when an error falls below a level for the first time, (n,), between points by a line; nan if it does not.

    Parameters
    ----------
    time, error : array, shape (points, n)
        As :func:`integrate` returns them.
    level : float
        Of ``abs(error)``.
    """
    below = np.abs(error) < level
    first = below.argmax(axis=0)
    column = np.arange(error.shape[1])
    before = np.maximum(first - 1, 0)
    high, low = np.abs(error[before, column]), np.abs(error[first, column])
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(first > 0, (high - level) / (high - low), 0)
    found = time[before, column] + part * (time[first, column] - time[before, column])
    return np.where(below.any(axis=0), found, np.nan)


def decoupled(target, feedback, hidden, generator):
    """Return a start of feedback matrices from which the matrices' flow falls apart into equation 16.

    ``T = U Lambda V^T`` and ``R_i(0) = U_i diag(lambda_R,i) U_{i+1}^T``, the U_i having orthonormal columns. Matrices
    are those of a network here, from rows to columns: the transposes of the paper's.

    Parameters
    ----------
    target : array, shape (inputs, outputs)
        T; outputs no more than inputs or any hidden layer.
    feedback : array, shape (k - 1,) or (k - 1, outputs)
        lambda_R,2 ... lambda_R,k.
    hidden : tuple of int
        Sizes n_1 ... n_{k-1} of the hidden layers.
    generator : numpy.random.Generator
        Draws the frames.

    Returns
    -------
    matrices : list of array
        R_2 (n_2, n_1) ... R_k (outputs, n_{k-1}).
    frames : list of array
        V (inputs, outputs), U_2 (n_1, outputs) ... U_k, U (outputs, outputs): ``frames[i - 1].T @ W_i @ frames[i]`` is
        diagonal at all times if W_i(0) = 0.
    singular : array, shape (outputs,)
        lambda_T.

    Raises
    ------
    ParameterError
        If a layer is smaller than the output, or numbers do not fit.
    """
    inputs, outputs = target.shape
    if min(inputs, *hidden) < outputs:
        raise ParameterError(
            f"hidden: no layer may be smaller than the output of {outputs} neurons, got {inputs},"
            f"{','.join(map(str, hidden))}"
        )
    feedback = np.asarray(feedback, float)
    if len(feedback) != len(hidden):
        raise ParameterError(f"feedback: {len(hidden)} of them are needed, one a hidden layer, got {len(feedback)}")
    v, singular, ut = np.linalg.svd(target, full_matrices=False)
    drawn = [np.linalg.qr(generator.normal(size=(n, outputs)))[0] for n in hidden]
    frames = [v, *drawn, ut.T]
    strengths = np.broadcast_to(feedback.reshape(len(hidden), -1), (len(hidden), outputs))
    matrices = [
        (above * strength) @ below.T for below, above, strength in zip(drawn, frames[2:], strengths, strict=True)
    ]
    return matrices, frames, singular
