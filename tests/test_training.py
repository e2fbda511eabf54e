"""Training shows every example once an epoch, tests with frozen weights, and ends cleanly however it ends."""

import gc
import os
import signal
import threading

import brian2
import numpy as np
import pytest

from neurosim import DivergedError, ParameterError
from neurosim.training import evaluate, train


@pytest.fixture
def data(tiny_data):
    """Eleven examples to train with and five to test with: neither is a multiple of two lanes."""
    return tiny_data(train=11, test=5)


def learning(lillicrap, data, **settings):
    return lillicrap(data, **{"lanes": 2, "replicas": 3, "eta": 0.3, "gamma": 0.01, **settings})


def weights(circuit):
    return {name: p.w.copy() for name, p in circuit.projections.items()}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture
def interrupt():
    """Return a function that does what Ctrl+C does; another handler is in place around the test, and must stay."""

    def stray(number, frame):
        raise AssertionError("the signal reached the handler from before")

    before = signal.signal(signal.SIGINT, stray)
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    left = signal.signal(signal.SIGINT, before)
    assert left is stray


def test_every_replica_sees_every_example_once_an_epoch_in_an_order_of_its_own(lillicrap, data):
    """Eleven examples in two lanes: ten are shown, an incomplete last group is left out, another one each epoch."""
    circuit = learning(lillicrap, data)
    orders = {}

    def tell(phase, epoch, readout):
        shown = circuit.presentation
        orders.setdefault((phase, epoch), []).append(shown.examples[shown.index].copy())

    epochs = list(train(circuit, data, 4, seed=5, tell=tell))
    seen = []
    for epoch in range(1, 5):
        order = np.array(orders["train", epoch])
        assert order.shape == (5, 3, 2)
        for replica in range(3):
            shown = order[:, replica].ravel()
            assert len(set(shown)) == 10 and set(shown) <= set(range(11))
            seen.append(tuple(shown))
    assert len(set(seen)) == len(seen)
    assert {e for shown in seen for e in shown} == set(range(11))
    assert [(e.number, e.examples, e.whole) for e in epochs] == [
        (1, 10, True),
        (2, 20, True),
        (3, 30, True),
        (4, 40, True),
    ]


def test_every_test_example_is_shown_in_turn_and_counted_once(lillicrap, data):
    """Five in two lanes: the sixth is padding, so each replica counts five, by their labels."""
    circuit = learning(lillicrap, data)
    shown = []
    for epoch in train(
        circuit, data, 1, seed=5, tell=lambda phase, epoch, readout: shown.append((phase, readout.shown))
    ):
        assert epoch.confusion.sum(axis=(1, 2)).tolist() == [5, 5, 5]
        assert (epoch.confusion.sum(axis=2) == np.bincount(data.test_labels)).all()
        wrong = 5 - np.trace(epoch.confusion, axis1=1, axis2=2)
        np.testing.assert_allclose(epoch.test_error, wrong / 5)
    assert shown == [("train", n) for n in (2, 4, 6, 8, 10)] + [("test", n) for n in (2, 4, 5)]


def test_training_changes_what_learns_and_nothing_else(lillicrap, data):
    circuit = learning(lillicrap, data)
    before = weights(circuit)
    for _ in train(circuit, data, 1, seed=5):
        pass
    after = weights(circuit)
    assert {name for name in after if not np.array_equal(before[name], after[name])} == {
        name for name in after if name.startswith(("W", "b"))
    }


def test_evaluation_changes_no_weight_and_records_nothing(lillicrap, data):
    """Not even the decay goes on: weights after the last training presentation are those after the test."""
    circuit = learning(lillicrap, data)
    at = {}

    def tell(phase, epoch, readout):
        at[phase] = weights(circuit), circuit.windows["last"].seen, len(circuit.alignment.at)

    for _ in train(circuit, data, 1, seed=5, tell=tell):
        pass
    assert same(at["test"][0], weights(circuit))
    now = weights(circuit)
    seen = circuit.windows["last"].seen
    evaluate(circuit, data.test_images, data.test_labels)
    assert same(weights(circuit), now)
    assert circuit.windows["last"].seen == seen == at["train"][1] == 15
    assert circuit.alignment.at == []


def test_angles_are_those_of_the_training_presentations(lillicrap, data):
    """One for each of five presentations, two hidden layers and three replicas, at the number of examples shown."""
    epochs = list(train(learning(lillicrap, data), data, 2, seed=5))
    assert [e.angles.shape for e in epochs] == [(5, 2, 3)] * 2
    assert [list(e.angles_at) for e in epochs] == [[2, 4, 6, 8, 10], [12, 14, 16, 18, 20]]
    assert all(((e.angles > 0) & (e.angles < 180)).all() for e in epochs)


def test_same_seed_gives_the_same_training_and_another_order_gives_another(lillicrap, data):
    def learned(seed):
        brian2.seed(7)
        circuit = learning(lillicrap, data, seed=3)
        for _ in train(circuit, data, 2, seed=seed):
            pass
        return weights(circuit)

    first, again, other = learned(5), learned(5), learned(6)
    assert same(first, again) and not same(first, other)


def test_two_classes_of_opposite_pixels_are_learned(lillicrap, tiny_data):
    """Half the pixels bright in one class and half in the other: from chance to no error worth speaking of."""
    data = tiny_data(n_inputs=20, train=40, test=40)
    for images, labels in ((data.train_images, data.train_labels), (data.test_images, data.test_labels)):
        images[...] = np.where((np.arange(20) < 10) == labels[:, None], 0.8, 0.05)
    circuit = lillicrap(
        data, hidden=(20, 20), output=10, lanes=4, replicas=4, eta=0.1, w_width=0.3, b_width=0.5, steps=5
    )
    epochs = list(train(circuit, data, 8, seed=1))
    assert epochs[-1].test_error.mean() < 0.05


def test_more_lanes_than_examples_are_refused(lillicrap, data):
    circuit = learning(lillicrap, data, lanes=12)
    with pytest.raises(ParameterError, match="12 lanes .* got 11"):
        next(train(circuit, data, 1, seed=1))


def test_as_many_lanes_as_examples_are_one_presentation(lillicrap, data):
    (epoch,) = train(learning(lillicrap, data, lanes=11), data, 1, seed=1)
    assert epoch.examples == 11 and epoch.confusion.sum(axis=(1, 2)).tolist() == [5] * 3


def test_interrupt_ends_the_epoch_after_the_presentation_and_yields_what_there_is(lillicrap, data, interrupt):
    circuit = learning(lillicrap, data)
    calls = []

    def tell(phase, epoch, readout):
        calls.append((phase, epoch))
        if calls.count(("train", 2)) == 3:
            interrupt()

    epochs = list(train(circuit, data, 5, seed=5, tell=tell))
    assert [e.whole for e in epochs] == [True, False]
    last = epochs[-1]
    assert (last.number, last.examples) == (2, 10 + 6)
    assert np.isfinite(last.train_error).all() and np.isnan(last.test_error).all()
    assert last.confusion.sum(axis=(1, 2)).tolist() == [6] * 3 and list(last.angles_at) == [12, 14, 16]
    assert calls[-1] == ("train", 2)
    (again,) = train(circuit, data, 1, seed=6)
    assert again.whole and again.examples == 10


def test_interrupt_while_testing_keeps_the_training_error_and_gives_no_test_error(lillicrap, data, interrupt):
    circuit = learning(lillicrap, data)
    epochs = list(
        train(circuit, data, 3, seed=5, tell=lambda phase, epoch, readout: interrupt() if phase == "test" else None)
    )
    assert [(e.number, e.examples, e.whole) for e in epochs] == [(1, 10, False)]
    assert np.isfinite(epochs[0].train_error).all() and np.isnan(epochs[0].test_error).all()


def test_second_interrupt_stops_at_once(lillicrap, data, interrupt):
    def twice(phase, epoch, readout):
        interrupt()
        interrupt()

    with pytest.raises(KeyboardInterrupt):
        list(train(learning(lillicrap, data), data, 1, seed=5, tell=twice))


def test_interrupt_between_two_epochs_trains_no_further_one(lillicrap, data, interrupt):
    """As when results are written: what was yielded was whole, and nothing more is shown."""
    circuit = learning(lillicrap, data)
    trained = []
    for epoch in train(circuit, data, 3, seed=5, tell=lambda phase, epoch, readout: trained.append((phase, epoch))):
        if epoch.number == 1:
            interrupt()
    assert ("train", 2) not in trained


def test_training_in_a_thread_leaves_the_signals_alone(lillicrap, data):
    """Python sets signal handlers in the main thread only; a notebook may train in another."""
    epochs = []
    circuit = learning(lillicrap, data)
    thread = threading.Thread(target=lambda: epochs.extend(train(circuit, data, 1, seed=5)))
    thread.start()
    thread.join()
    assert [e.whole for e in epochs] == [True]


def test_training_that_is_left_half_way_cleans_up(lillicrap, data, interrupt):
    """The signal handler (``interrupt`` checks it), the collector's frozen objects, the caller's function."""
    circuit = learning(lillicrap, data)
    objects = set(circuit.network.objects)
    for _ in train(circuit, data, 3, seed=5, tell=lambda *arguments, **named: None):
        break
    gc.collect()
    assert gc.get_freeze_count() == 0
    assert set(circuit.network.objects) == objects


def test_divergence_is_raised_after_the_epoch_so_far_was_yielded(lillicrap, data, interrupt):
    """A weight of replica 1 is lost after six examples of the second epoch."""
    circuit = learning(lillicrap, data)

    def spoil(phase, epoch, readout):
        if (phase, epoch, readout.shown) == ("train", 2, 6):
            circuit.projections["W_h2"].w[1, 0, 2] = np.nan

    epochs = []
    with pytest.raises(DivergedError, match=r"h2\.drive is nan at t = .*neuron 2, replica 1, lane 0"):
        for epoch in train(circuit, data, 3, seed=5, tell=spoil):
            epochs.append(epoch)
    assert [(e.number, e.examples, e.whole) for e in epochs] == [(1, 10, True), (2, 16, False)]
    assert np.isfinite(epochs[1].train_error).all() and np.isnan(epochs[1].test_error).all()
    assert gc.get_freeze_count() == 0


def test_learning_rate_beyond_all_numbers_diverges(lillicrap, data):
    """The logistic function saturates, so only what float32 cannot hold diverges at once: in the second step."""
    with pytest.raises(DivergedError, match=r"at t = 1 ms"):
        list(train(learning(lillicrap, data, eta=1e39), data, 1, seed=5))


def test_projection_that_the_user_froze_stays_frozen_while_others_train(lillicrap, data):
    circuit = learning(lillicrap, data)
    circuit.projections["W_h1"].plastic = False
    before = weights(circuit)
    for _ in train(circuit, data, 1, seed=5):
        pass
    after = weights(circuit)
    assert not np.array_equal(after["W_y"], before["W_y"])
    assert np.array_equal(after["W_h1"], before["W_h1"])
