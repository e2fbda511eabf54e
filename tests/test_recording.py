"""Recorders see what is there: errors by hand, traces as brian2's monitor, angles that geometry demands."""

import numpy as np
import pytest
from brian2 import Network, NetworkOperation, StateMonitor, ms

from neurosim import (
    Alignment,
    DivergedError,
    Guard,
    ParameterError,
    Population,
    Presentation,
    Projection,
    Readout,
    Window,
    neurons,
)
from neurosim.recording import ModulatorAngle, Progress, SquaredError


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_guard_names_variable_neuron_replica_lane_and_time(given, clock, wrong):
    """In the very step in which it happens: the fourth of the run, t = 3 ms."""
    x = given(4, replicas=3, lanes=2, clock=clock, name="hidden7")

    def spoil():
        if round(float(clock.t / ms)) == 3:
            x.view("m")[2, 1, 2] = wrong

    with pytest.raises(DivergedError) as caught:
        Network(x, NetworkOperation(spoil, clock=clock, when="start"), Guard([(x, "s"), (x, "m")])).run(6 * ms)
    words = ["hidden7.m", f"is {wrong}", "t = 3", "neuron 2", "replica 2", "lane 1", "1 of 24"]
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_guard_lets_finite_values_pass_whose_sum_is_not(given, clock):
    x = given(4, clock=clock)
    x.view("m")[...] = 3e38
    Network(x, Guard([(x, "m")])).run(2 * ms)


def test_guard_of_projections_watches_what_they_deliver_to(given, passive, clock):
    x, h = given(2, clock=clock), passive(2, clock=clock, name="h8")
    w, b = (Projection(x, h, "drive_post = w * s_pre", weights=np.eye(2)) for _ in range(2))
    guard = Guard.of([w, b, Projection(x, h, "m_post = m_pre")])
    assert guard.watched == [(h, "drive"), (h, "m")]
    x.view("m")[0, 0, 1] = np.nan
    with pytest.raises(DivergedError, match=r"h8\.m is nan"):
        Network(x, h, *[o for o in (w, b)], Projection(x, h, "m_post = m_pre"), guard).run(1 * ms)
    with pytest.raises(ParameterError, match="Guard"):
        Guard([])


def read(given, clock, potentials, labels, order, n_classes, counted=None, steps=1):
    """Return a readout after the presentations of an order; ``potentials`` are rows, one for each example."""
    replicas, lanes = np.shape(order)[1:]
    y = given(np.shape(potentials)[1], replicas=replicas, lanes=lanes, clock=clock)
    shown = Presentation(steps * ms, clock=clock)
    shown.clamp(y, "m", potentials)
    shown.show(order)
    readout = Readout(shown, y, "m", n_classes)
    readout.expect(labels, counted)
    Network(y, shown, readout).run(shown.remaining)
    return readout


# Six output neurons stand for three classes. Examples 0..3 of classes 0, 1, 2, 2; the network names 0, 0, 2, 1.
POTENTIALS = np.array([[3, 2, 4, 0, 1, 2], [2, 2, 0, 3, 1, 1], [0, 0, 5, 0, 3, 3], [0, 0, 2, 2, 3, 0.0]])
LABELS = np.array([0, 1, 2, 2])


@pytest.mark.parametrize("steps", [1, 3])
def test_readout_names_the_class_with_the_largest_sum_over_its_neurons(given, clock, steps):
    """The single largest potential would name others (example 0: class 1; example 2: class 1)."""
    order = np.array([[[0, 1], [2, 2]], [[2, 3], [3, 3]]])
    readout = read(given, clock, POTENTIALS, LABELS, order, 3, steps=steps)
    assert readout.confusion[0].tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    assert readout.confusion[1].tolist() == [[0, 0, 0], [0, 0, 0], [0, 2, 2]]
    assert readout.error.tolist() == [0.5, 0.5] and readout.shown == 4


def test_readout_leaves_out_padding(given, clock):
    """Five guesses in groups of two: the sixth, a wrong one, is padding and does not count."""
    order = np.array([[[0, 0]], [[2, 2]], [[0, 1]]])
    readout = read(given, clock, POTENTIALS, LABELS, order, 3, counted=5)
    assert readout.shown == 5 and readout.error.tolist() == [0]
    assert read(given, clock, POTENTIALS, LABELS, order, 3, counted=6).error.tolist() == [pytest.approx(1 / 6)]


def test_readout_sums_over_the_steps_of_a_presentation_and_starts_anew_with_the_next(clock):
    """Potentials that swap places within a presentation: what counts is their sum, not the first or the last."""
    y = Population(2, neurons.BERNOULLI, order=0, clock=clock, namespace={"tau": 5 * ms})
    shown = Presentation(3 * ms, clock=clock)
    readout = Readout(shown, y, "m", 2)
    steps = iter([(0, 1), (5, 0), (0, 1), (0, 1), (1, 0), (0, 1)])  # sums 5:2, then 1:2

    class Script(Progress):
        def run(self):
            y.view("m")[0, 0] = next(steps)

    script = Script(shown, None)
    script.order = 0
    shown.show([[0], [0]])
    readout.expect([0])
    Network(y, shown, readout, script).run(shown.remaining)
    assert readout.confusion[0].tolist() == [[1, 1], [0, 0]]


def test_readout_knows_no_error_before_the_first_presentation(given, clock):
    y = given(4, replicas=2, clock=clock)
    readout = Readout(Presentation(1 * ms, clock=clock), y, "m", 2)
    assert np.isnan(readout.error).tolist() == [True, True] and readout.shown == 0


def test_readout_needs_as_many_neurons_for_every_class(given, clock):
    with pytest.raises(ParameterError, match="6 neurons, which 4 classes do not divide"):
        Readout(Presentation(1 * ms, clock=clock), given(6, clock=clock), "m", 4)


@pytest.mark.parametrize("keep", ["first", "last"])
@pytest.mark.parametrize("presentations", [1, 2, 5, 9])
def test_window_holds_what_brian2s_monitor_records_of_the_same_units(clock, keep, presentations):
    """Five presentations of three steps in one run and more after that: the first few or, wrapped around, the last."""
    x = Population(6, neurons.BERNOULLI_INPUT, order=0, replicas=2, lanes=2, clock=clock, namespace={"p_max": 1})
    shown = Presentation(3 * ms, clock=clock)
    shown.clamp(x, "x", np.random.default_rng(0).uniform(size=(7, 6)))
    units = np.array([1, 4, 5])
    window = Window(shown, {"x": (x, "x", units), "s": (x, "s", units)}, presentations, keep)
    monitor = StateMonitor(x, ["x", "s"], record=units, when="end", clock=clock)
    network = Network(x, shown, window, monitor)
    examples = np.arange(7) % 7
    for part in (examples[:5], examples[5:]):
        shown.show(np.broadcast_to(part[:, None, None], (len(part), 2, 2)))
        network.run(shown.remaining)
    steps = 3 * min(presentations, 7)
    cut = slice(0, steps) if keep == "first" else slice(21 - steps, 21)
    kept = window.arrays()
    np.testing.assert_allclose(kept["time"], np.asarray(monitor.t)[cut])
    assert np.array_equal(kept["s"], monitor.s.T[cut]) and np.array_equal(kept["x"], monitor.x.T[cut])
    assert np.array_equal(kept["shown"], np.repeat(examples, 3)[cut])


def test_window_records_only_while_it_is_open(given, clock):
    x = given(1, clock=clock)
    shown = Presentation(1 * ms, clock=clock)
    shown.clamp(x, "m", np.arange(6.0)[:, None])
    window = Window(shown, {"m": (x, "m", np.array([0]))}, 4, "last")
    network = Network(x, shown, window)
    for part, is_open in (([0, 1], True), ([2, 3], False), ([4, 5], True)):
        window.is_open = is_open
        shown.show(np.array(part)[:, None])
        network.run(shown.remaining)
    assert window.arrays()["m"].ravel().tolist() == [0, 1, 4, 5]


def test_window_keeps_first_or_last(given, clock):
    with pytest.raises(ParameterError, match="'first' or 'last'.*'middle'"):
        Window(Presentation(1 * ms, clock=clock), {}, 1, "middle")


def aligned(given, passive, clock, backward, forward, replicas=1, every=1, presentations=1):
    """Return the angles that an alignment measures: h <- feedback B <- top, beside h -> forward W -> top."""
    n, top = np.shape(forward)[-2:]
    settings = dict(replicas=replicas, lanes=3, clock=clock)
    h, source, y = given(n, **settings), given(top, order=2, **settings), passive(top, order=1, **settings)
    below = passive(n, order=3, **settings)
    w = Projection(h, y, "drive_post = w * s_pre", weights=forward)
    b = Projection(source, below, "drive_post = w * m_pre", weights=backward)
    source.view("m")[...] = np.random.default_rng(8).normal(size=source.shape)
    shown = Presentation(2 * ms, clock=clock)
    shown.show(np.zeros((presentations, 3), int))
    alignment = Alignment(shown, {"h": (b, w)})
    alignment.every = every
    Network(h, source, y, below, w, b, shown, alignment).run(shown.remaining)
    return alignment


def test_feedback_through_the_transposed_weights_is_aligned_whatever_its_scale(given, passive, clock):
    """B = c W^T: 0 degrees for c > 0 and 180 for c < 0, not square, in each replica on its own."""
    w = np.random.default_rng(0).normal(size=(3, 7, 4))
    signs = np.array([1.0, 0.2, -3.0])[:, None, None]
    alignment = aligned(given, passive, clock, signs * w.swapaxes(1, 2), w, replicas=3)
    np.testing.assert_allclose(alignment.angles[0][0], [0, 0, 180], atol=0.1)


def test_independent_random_feedback_is_at_right_angles(given, passive, clock):
    """The cosine of independent vectors of 3 x 1500 elements is 0 give or take 1/sqrt(4500), though lanes share B."""
    draw = np.random.default_rng(0)
    b, w = draw.uniform(-0.5, 0.5, (4, 20, 1500)), draw.uniform(-0.5, 0.5, (4, 1500, 20))
    alignment = aligned(given, passive, clock, b, w, replicas=4)
    np.testing.assert_allclose(alignment.angles[0][0], 90, atol=np.degrees(5 / np.sqrt(1500)))


def test_alignment_is_measured_at_the_end_of_every_few_presentations(given, passive, clock):
    w = np.eye(2)
    alignment = aligned(given, passive, clock, w, w, every=2, presentations=5)
    assert alignment.at == [0, 2, 4] and len(alignment.angles) == 3


def test_readout_with_a_phase_sums_over_its_steps_only(given, clock):
    """The potentials of the first phase would name class 0; those of the two steps of the second name class 1."""
    y = given(2, replicas=2, lanes=3, clock=clock)
    shown = Presentation({"noisy": 1 * ms, "clean": 2 * ms, "after": 1 * ms}, clock=clock)
    readout = Readout(shown, y, "m", 2, "clean")
    steps = iter([(9, 0), (0, 2), (1, 0), (9, 0)] * 2)

    class Script(Progress):
        def run(self):
            y.view("m")[...] = next(steps)

    script = Script(shown, None)
    script.order = 0
    shown.show(np.zeros((2, 3), int))
    readout.expect([1])
    Network(y, shown, readout, script).run(shown.remaining)
    assert readout.confusion.tolist() == [[[0, 0], [0, 6]]] * 2
    assert readout.error.tolist() == [0, 0]


def test_readouts_need_a_phase_that_there_is(clock):
    error = Population(2, neurons.RATE_ERROR, order=0, clock=clock)
    shown = Presentation({"noisy": 1 * ms, "clean": 1 * ms}, clock=clock)
    for read in (lambda: Readout(shown, error, "d", 2, "claen"), lambda: SquaredError(shown, error, "claen")):
        with pytest.raises(ParameterError, match=r"phase 'claen'.*'clean'"):
            read()


def squared(clock, guesses, targets, order, counted=None, phases=None, phase=None):
    """Return a SquaredError after these examples; ``guesses`` and ``targets`` are (examples, n)."""
    replicas, lanes = np.shape(order)[1:]
    error = Population(np.shape(targets)[1], neurons.RATE_ERROR, order=0, replicas=replicas, lanes=lanes, clock=clock)
    shown = Presentation(phases or 2 * ms, clock=clock)
    shown.clamp(error, "guess", guesses)
    shown.clamp(error, "target", targets)
    shown.show(order)
    readout = SquaredError(shown, error, phase)
    readout.expect(targets, counted)
    network = Network(error, shown, readout)
    return readout, network


@pytest.mark.parametrize("counted", [None, 13, 12])
def test_squared_error_is_that_of_its_definition(clock, counted):
    """sum |target - guess|^2 / sum |target - mean target|^2 over a replica's examples, without the padding.

    Fourteen examples in two lanes, three replicas in orders of their own; a mean far from 0 must not count.
    """
    draw = np.random.default_rng(0)
    targets = 5 + draw.normal(size=(20, 4))
    guesses = targets + draw.normal(size=(20, 4)) * np.array([0.1, 1, 2, 0.5])
    order = np.stack([draw.permutation(20)[:14].reshape(7, 2) for _ in range(3)], axis=1)
    readout, network = squared(clock, guesses, targets, order, counted)
    assert np.isnan(readout.error).all() and readout.shown == 0
    network.run(readout.presentation.remaining)
    assert readout.shown == (counted or 14) and readout.metric == "nse"
    for replica in range(3):
        kept = order[:, replica].ravel()[:counted]
        t, y = targets[kept], guesses[kept]
        expected = np.sum((t - y) ** 2) / np.sum((t - t.mean(axis=0)) ** 2)
        assert readout.error[replica] == pytest.approx(expected, rel=1e-5)


def test_squared_error_of_the_best_constant_guess_is_one_and_of_the_target_itself_zero(clock):
    targets = np.random.default_rng(0).normal(size=(6, 3))
    order = np.arange(6).reshape(3, 1, 2)
    for guesses, error in ((np.tile(targets.mean(axis=0), (6, 1)), 1), (targets, 0)):
        readout, network = squared(clock, guesses, targets, order)
        network.run(readout.presentation.remaining)
        assert readout.error[0] == pytest.approx(error, abs=1e-6)


def test_squared_error_is_unknown_until_there_are_two_different_targets(clock):
    targets = np.array([[1.0, 2.0], [1.0, 3.0]])
    readout, network = squared(clock, targets + 1, targets, np.array([[[0]], [[0]], [[1]]]))
    errors = []
    for _ in range(3):
        network.run(2 * ms)
        errors.append(readout.error[0])
    assert np.isnan(errors[:2]).all()
    assert errors[2] == pytest.approx(6 / (2 / 3))  # the mean of 2, 2, 3 is 7/3: squares 1/9, 1/9, 4/9
    readout.expect(targets)
    assert readout.shown == 0 and np.isnan(readout.error).all()


def test_squared_error_is_read_at_the_end_of_its_phase(clock):
    """Guesses that change from phase to phase: those in the last step of the phase count, by default of the last."""
    targets = np.array([[0.0], [2.0]])
    order = np.array([[[0]], [[1]]])
    phases = {"noisy": 2 * ms, "clean": 3 * ms}
    for phase, expected in (("noisy", 9.0), ("clean", 0.25), (None, 0.25)):
        readout, network = squared(clock, targets, targets, order, phases=phases, phase=phase)
        shifts = iter([9, 3, 7, 7, 0.5] * 2)

        class Script(Progress):
            def run(self, shifts=shifts):
                population = self.readout.population
                population.view("guess")[...] = population.view("target") + next(shifts)

        script = Script(readout.presentation, None)
        script.order, script.readout = 0, readout
        network.add(script)
        network.run(readout.presentation.remaining)
        assert readout.error[0] == pytest.approx(2 * expected / 2)  # two examples, and targets 1 from their mean


def test_squared_error_goes_on_from_its_state(clock):
    draw = np.random.default_rng(0)
    targets, guesses = draw.normal(size=(2, 8, 3))
    order = np.arange(8).reshape(4, 1, 2)
    whole, network = squared(clock, guesses, targets, order, counted=7)
    network.run(4 * ms)
    half = whole.state()
    network.run(4 * ms)
    assert half["count"] == 4, "a state is a copy"
    other, network = squared(clock, guesses, targets, order[2:], counted=7)
    other.set_state(half)
    network.run(4 * ms)
    np.testing.assert_array_equal(other.error, whole.error)
    assert other.shown == whole.shown == 7


def test_modulator_angle_compares_with_backprops_deltas(given, clock):
    """Two hidden layers, sizes 5-4-3: delta2 = (e . slope) W3^T and delta1 = (delta2 . slope2) W2^T over all lanes."""
    draw, replicas, lanes = np.random.default_rng(3), 2, 3
    shape = dict(replicas=replicas, lanes=lanes, clock=clock)
    sizes = {"h1": 5, "h2": 4, "y": 3}
    h1, h2, y = (given(n, order=k, **shape) for k, n in enumerate(sizes.values()))
    feedback = {name: Population(sizes[name], neurons.RATE_FEEDBACK, order=4, **shape) for name in ("h1", "h2")}
    error = Population(3, neurons.RATE_ERROR, order=3, **shape)
    forward = {
        "h1": Projection(h1, h2, "m_post = w * s_pre", weights=draw.normal(size=(replicas, 5, 4))),
        "h2": Projection(h2, y, "m_post = w * s_pre", weights=draw.normal(size=(replicas, 4, 3))),
    }
    for population, variables in (
        (error, ("target", "guess", "slope")),
        *((f, ("d", "slope")) for f in feedback.values()),
    ):
        for variable in variables:
            population.view(variable)[...] = draw.uniform(0.1, 1, size=population.shape)
    shown = Presentation(1 * ms, clock=clock)
    shown.show(np.zeros((1, lanes), int))
    measure = ModulatorAngle(shown, error, {name: (feedback[name], forward[name]) for name in ("h1", "h2")})
    Network(h1, h2, y, error, *feedback.values(), *forward.values(), shown, measure).run(1 * ms)
    assert measure.at == [0]
    for r in range(replicas):
        e = error.view("target")[r].astype(float) - error.view("guess")[r]
        delta2 = (e * error.view("slope")[r]) @ forward["h2"].w[r].T
        delta1 = (delta2 * feedback["h2"].view("slope")[r]) @ forward["h1"].w[r].T
        for k, (name, delta) in enumerate((("h1", delta1), ("h2", delta2))):
            arrived = feedback[name].view("d")[r].astype(float)
            cosine = np.sum(arrived * delta) / np.linalg.norm(arrived) / np.linalg.norm(delta)
            assert measure.angles[0][k][r] == pytest.approx(np.degrees(np.arccos(cosine)), abs=1e-3)
    # backprop's own signals are at no angle to themselves
    feedback["h1"].view("d")[...] = 3 * np.stack(
        [
            ((error.view("target")[r] - error.view("guess")[r]) * error.view("slope")[r]) @ forward["h2"].w[r].T
            * feedback["h2"].view("slope")[r] @ forward["h1"].w[r].T
            for r in range(replicas)
        ]
    )  # fmt: skip
    np.testing.assert_allclose(measure.measure_all()[0], 0, atol=0.1)


@pytest.mark.parametrize("algorithm", ["backprop", "feedback_alignment"])
def test_angles_are_those_before_the_weights_learn_from_the_example(algorithm):
    """With B = W^T at every moment the signals are backprop's: the angle is 0, though W learns in every step."""
    from neurosim.connectivity import Transposed
    from neurosim.recording import ModulatorAngle
    from neurosim_models.lillicrap_2016 import LINEAR

    values = LINEAR.resolve("linear", {"algorithm": algorithm, "eta": "0.01", "examples": "20"})
    task = LINEAR.presets["linear"].task(values, 1)
    circuit = LINEAR.build(values, task, 1)
    objects = {each.name: each for each in circuit.network.sorted_objects}
    if algorithm == "backprop":
        assert isinstance(objects["WT_h1"].connectivity, Transposed)
        paths = {"h1": (objects["feedback_h1"], circuit.projections["W_y"])}
        angles = ModulatorAngle(circuit.presentation, circuit.populations["error"], paths)
        circuit.network.add(angles)
    else:
        angles = circuit.alignment
    inputs, targets = task.training(1, circuit.replicas)
    circuit.feed(inputs.reshape(-1, 30), targets.reshape(-1, 10))
    circuit.presentation.show(np.arange(20)[:, None, None] + 20 * np.arange(circuit.replicas)[:, None])
    circuit.network.run(circuit.presentation.remaining)
    found = np.array(angles.angles)
    assert found.shape == (20, 1, circuit.replicas)
    if algorithm == "backprop":
        np.testing.assert_allclose(found, 0, atol=0.1)
    else:
        assert np.abs(found[0].mean() - 90) < 10 and found[-1].mean() < 85
