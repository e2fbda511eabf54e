"""What a user types becomes a value of the right kind, unit and range, or an error that says what would be right."""

import dataclasses
import json

import pytest
from brian2 import Hz, Quantity, ms, mV

from neurosim import ParameterError
from neurosim.experiment import Expect, Experiment, Parameter, Preset, Published, plain
from neurosim_models import lillicrap_2016


def parameter(value, **settings):
    return Parameter("rate", value, "Methods", "what it is", **settings)


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        (5, "7", 7),
        (5, " 7 ", 7),
        (5, "-3", -3),
        (5, "1e3", 1000),
        (5, "20.0", 20),
        (0.1, "0.5", 0.5),
        (0.1, "1e-3", 1e-3),
        (0.1, "-2", -2.0),
        ((3, 4), "10,20,30", (10, 20, 30)),
        ((3, 4), "10", (10,)),
        ((3, 4), "10, 20", (10, 20)),
        ("relu", "tanh", "tanh"),
        (0.5 * ms, "0.5 ms", 0.5 * ms),
        (0.5 * ms, "0.5*ms", 0.5 * ms),
        (0.5 * ms, "0.5ms", 0.5 * ms),
        (0.5 * ms, "2*s", 2000 * ms),
        (0.5 * ms, "500*us", 0.5 * ms),
        (0.5 * ms, "5e-4 second", 0.5 * ms),
        (3 * Hz, "2 kHz", 2000 * Hz),
        (-70 * mV, "-65*mV", -65 * mV),
        ((0.5, 1.0), "0.1,2", (0.1, 2.0)),
    ],
)
def test_text_of_every_kind_is_read(default, text, value):
    read = parameter(default).read(text)
    assert read == pytest.approx(value) if isinstance(value, float) else read == value
    assert type(read) is type(value)
    if isinstance(value, Quantity):
        assert read.dim is value.dim


@pytest.mark.parametrize(
    ("default", "text", "words"),
    [
        (5, "seven", ["a whole number", "'seven'"]),
        (5, "7.5", ["a whole number", "'7.5'"]),
        (5, "", ["a whole number", "''"]),
        (5, "nan", ["a whole number", "'nan'"]),
        (5, "inf", ["a whole number", "'inf'"]),
        (5, "1e400", ["a whole number", "'1e400'"]),
        (5, "7 ms", ["a whole number", "'7 ms'"]),
        (5, "True", ["a whole number", "'True'"]),
        (0.1, "half", ["a number", "'half'"]),
        (0.1, "nan", ["finite", "nan"]),
        (0.1, "-inf", ["finite", "-inf"]),
        (0.1, "1,2", ["a number", "'1,2'"]),
        ((3, 4), "10,x", ["whole numbers with commas", "3,4", "'x'"]),
        ((3, 4), "10,,20", ["whole numbers with commas", "3,4"]),
        ((0.5, 1.0), "0.5,x", ["numbers with commas", "0.5,1", "'x'"]),
        ((3, 4), "", ["whole numbers with commas", "3,4"]),
        ((3, 4), "(10,20)", ["whole numbers with commas", "3,4"]),
        ((3, 4), "1.5,2", ["whole numbers with commas", "1.5"]),
        (0.5 * ms, "0.5", ["a number with a unit", "0.5*ms", "'0.5'"]),
        (0.5 * ms, "ms", ["a number with a unit", "'ms'"]),
        (0.5 * ms, "fast ms", ["a number with a unit", "'fast ms'"]),
        (0.5 * ms, "1.2.3 ms", ["a number with a unit", "'1.2.3 ms'"]),
        (0.5 * ms, "0.5 parsec", ["a number with a unit", "'0.5 parsec'"]),
        (0.5 * ms, "0.5 exp", ["a number with a unit"]),
        (0.5 * ms, "0.5*mV", ["a unit like that of 0.5*ms", "'0.5*mV'"]),
        (0.5 * ms, "0.5*Hz", ["a unit like that of 0.5*ms"]),
        (0.5 * ms, "nan ms", ["finite"]),
        (0.5 * ms, "inf*ms", ["finite"]),
        (0.5 * ms, "__import__('os') ms", ["a number with a unit"]),
    ],
)
def test_text_of_the_wrong_kind_is_refused_with_what_would_be_right(default, text, words):
    with pytest.raises(ParameterError) as caught:
        parameter(default).read(text)
    assert str(caught.value).startswith("rate: ") and "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("settings", "inside", "outside"),
    [
        ({"low": 1}, ["1", "2"], ["0", "-1"]),
        ({"high": 3}, ["3", "-9"], ["4"]),
        ({"above": 1}, ["2"], ["1", "0"]),
        ({"below": 3}, ["2"], ["3", "4"]),
        ({"low": 0, "below": 2}, ["0", "1"], ["-1", "2"]),
    ],
)
@pytest.mark.parametrize("kind", [int, float, tuple])
def test_range_includes_low_and_high_and_excludes_above_and_below(kind, settings, inside, outside):
    """For a list, each of its numbers counts; the message names every border and the number that is wrong."""
    limited = parameter((1, 1) if kind is tuple else kind(1), **settings)
    first = f"{inside[0]}," if kind is tuple else ""
    for text in inside:
        limited.read(first + text)
    for text in outside:
        with pytest.raises(ParameterError) as caught:
            limited.read(first + text)
        assert all(f" {border}" in str(caught.value) for border in settings.values())
        assert str(caught.value).endswith(f"got {text}")


def test_range_of_a_quantity_is_in_base_units():
    limited = parameter(5 * ms, above=0, high=0.02)
    assert limited.read("20 ms") == 20 * ms
    for text in ("0 ms", "-1*ms", "21*ms", "1 second"):
        with pytest.raises(ParameterError, match=r"rate: must be > 0 and <= 0\.02|rate: must be <= 0\.02 and > 0"):
            limited.read(text)


def test_word_that_is_no_choice_is_refused_with_the_nearest():
    word = parameter("tanh", choices=("tanh", "relu", "linear"))
    assert word.read("relu") == "relu"
    with pytest.raises(ParameterError, match=r"rate.*'tahn'.*'tanh'"):
        word.read("tahn")


@pytest.fixture
def experiment():
    parameters = (
        parameter(0.1, low=0),
        Parameter("hidden", (30, 20), "Table 1", "neurons", low=1),
        Parameter("tau", 5 * ms, "Table 1", "time constant", above=0),
    )
    presets = {
        "digits": Preset({"rate": (0.3, "ours: by search"), "lanes": (50, "ours")}, 64, "1 s"),
        "mnist": Preset({"epochs": (20, "ours")}, 784, "1 min"),
    }
    return Experiment(
        "toy", "a toy", parameters, presets, build=None, conditions={"only": {}},
        published=(Published(0.1, "10 %", "MNIST", "Fig. 1"),),
    )  # fmt: skip


def test_defaults_come_from_the_parameters_then_the_preset_then_the_user(experiment):
    digits = experiment.resolve("digits", {})
    assert digits == {"rate": 0.3, "hidden": (30, 20), "tau": 5 * ms, "lanes": 50, "replicas": 1, "epochs": 1}
    mnist = experiment.resolve("mnist", {"tau": "2*ms", "lanes": "4"})
    assert mnist == {"rate": 0.1, "hidden": (30, 20), "tau": 2 * ms, "lanes": 4, "replicas": 1, "epochs": 20}
    assert experiment.resolve("digits", {"rate": "0.7"})["rate"] == 0.7


def test_preset_brings_its_source_and_keeps_the_range(experiment):
    rate = experiment.parameters_for("digits")["rate"]
    assert (rate.value, rate.source, rate.low) == (0.3, "ours: by search", 0)
    assert experiment.parameters[0].value == 0.1
    with pytest.raises(ParameterError, match="rate: must be >= 0"):
        experiment.resolve("digits", {"rate": "-1"})


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("hiden", "hidden"), ("lane", "lanes"), ("epoch", "epochs"), ("Tau", "tau"), ("replica", "replicas")],
)
def test_unknown_name_suggests_the_nearest(experiment, name, nearest):
    with pytest.raises(ParameterError, match=rf"unknown parameter '{name}'.*did you mean .*'{nearest}'"):
        experiment.resolve("digits", {name: "1"})


def test_name_like_no_other_lists_all_that_exist(experiment):
    with pytest.raises(ParameterError, match="'zzz'.*rate, hidden, tau, lanes, replicas, epochs"):
        experiment.resolve("digits", {"zzz": "1"})


@pytest.mark.parametrize("name", ["lanes", "replicas", "epochs"])
def test_run_parameters_are_whole_numbers_of_at_least_one(experiment, name):
    for text in ("0", "-1", "1.5", "many"):
        with pytest.raises(ParameterError, match=name):
            experiment.resolve("digits", {name: text})


@pytest.mark.parametrize("experiment", lillicrap_2016.EXPERIMENTS, ids=lambda e: e.name)
def test_every_default_of_a_model_reads_back_from_its_own_text(experiment):
    """Whatever ``neurosim show`` prints can be typed after ``--set``; every number names its source."""
    for data_name in experiment.presets:
        for name, known in experiment.parameters_for(data_name).items():
            assert known.read(plain(known.value)) == known.value, name
            assert known.source and known.meaning, name


def test_data_without_a_preset_get_the_one_nearest_in_inputs(experiment):
    assert experiment.preset_for("mnist", 64) == "mnist", "its own comes first"
    assert [experiment.preset_for("mine", inputs) for inputs in (1, 100, 700, 3072)] == ["digits"] * 2 + ["mnist"] * 2
    assert experiment.resolve("mine", {}, 784)["epochs"] == 20
    assert experiment.preset_for("mine") == "digits", "the first, where the number of inputs is not known yet"


# Conditions


@pytest.fixture
def several():
    parameters = (
        Parameter("algorithm", "backprop", "Fig. 1", "teacher", choices=("backprop", "alignment", "shallow")),
        Parameter("hidden", (20, 10), "Table 1", "neurons", low=1),
        parameter(0.1, low=0),
    )
    conditions = {
        "backprop_3": {"algorithm": "backprop", "hidden": (20,)},
        "backprop_4": {"algorithm": "backprop", "hidden": (20, 10)},
        "alignment_4": {"algorithm": "alignment", "hidden": (20, 10)},
    }
    presets = {"digits": Preset({}, 64, "1 s")}
    return Experiment(
        "toy", "a toy", parameters, presets, build=None, conditions=conditions, factors=("algorithm", "hidden")
    )


def chosen(experiment, settings, names=None):
    return experiment.choose(experiment.resolve("digits", settings), settings, names)


def test_all_conditions_run_with_their_own_settings_over_those_of_all(several):
    found = chosen(several, {"rate": "0.5", "lanes": "7"})
    assert list(found) == list(several.conditions)
    for name, values in found.items():
        assert values == several.resolve("digits", {"rate": "0.5", "lanes": "7"}) | several.conditions[name]
    assert list(several.choose(several.resolve("digits", {}))) == list(several.conditions)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"algorithm": "backprop"}, ["backprop_3", "backprop_4"]),
        ({"algorithm": "alignment"}, ["alignment_4"]),
        ({"hidden": "20,10"}, ["backprop_4", "alignment_4"]),
        ({"hidden": "20", "algorithm": "backprop"}, ["backprop_3"]),
    ],
)
def test_conditions_that_set_otherwise_what_the_user_sets_drop_out(several, settings, names):
    assert list(chosen(several, settings)) == names


def test_where_all_drop_out_what_the_user_set_is_the_one_condition(several):
    """Named by what the conditions vary and the user chose; a parameter that no condition sets is not in the name."""
    settings = {"hidden": "5,4", "algorithm": "shallow", "rate": "0.3"}
    assert chosen(several, settings) == {"hidden=5,4,algorithm=shallow": several.resolve("digits", settings)}
    assert chosen(several, {"hidden": "20", "algorithm": "alignment"}).keys() == {"hidden=20,algorithm=alignment"}


def test_setting_that_is_no_factor_holds_for_all_conditions(several):
    """Also where a condition has a value of its own for it, as a learning rate of its own."""
    own = {name: {**settings, "rate": 0.2} for name, settings in several.conditions.items()}
    experiment = dataclasses.replace(several, conditions=own, factors=("algorithm",))
    assert {values["rate"] for values in chosen(experiment, {}).values()} == {0.2}
    found = chosen(experiment, {"rate": "0.7", "hidden": "9", "algorithm": "backprop"})
    assert list(found) == ["backprop_3", "backprop_4"]
    assert all((values["rate"], values["hidden"]) == (0.7, (9,)) for values in found.values())


def test_conditions_are_chosen_by_name_once_each_in_the_order_asked_for(several):
    assert list(chosen(several, {}, ["alignment_4", "backprop_3", "alignment_4"])) == ["alignment_4", "backprop_3"]


def test_unknown_condition_suggests_the_nearest(several):
    with pytest.raises(ParameterError, match=r"unknown condition 'backprop_5'.*'backprop_[34]'"):
        chosen(several, {}, ["backprop_3", "backprop_5"])


def test_condition_that_the_settings_exclude_is_refused(several):
    with pytest.raises(ParameterError, match=r"--conditions: 'backprop_3' sets algorithm=backprop,hidden=20.*--set"):
        chosen(several, {"hidden": "20,10"}, ["backprop_4", "backprop_3"])


@pytest.mark.parametrize("experiment", lillicrap_2016.EXPERIMENTS, ids=lambda e: e.name)
def test_conditions_and_claims_of_a_model_are_about_what_exists(experiment):
    for data_name in experiment.presets:
        known = experiment.parameters_for(data_name)
        for own in experiment.conditions.values():
            assert all(known[name].check(value) == value for name, value in own.items())
            assert set(experiment.factors) <= set(own)
        expects = experiment.presets[data_name].expect
        named = [each.condition for each in (*experiment.published, *expects)]
        named += [name for each in experiment.comparisons for name in (each.lower, each.higher)]
        assert set(named) <= {*experiment.conditions, None}
        assert None not in named or len(experiment.conditions) == 1


@pytest.mark.parametrize("experiment", lillicrap_2016.EXPERIMENTS, ids=lambda e: e.name)
def test_every_value_of_a_run_comes_back_from_its_record(experiment):
    """As run.json has it: a number for a quantity, a list for sizes; defaults, and values of all conditions."""
    for data_name in experiment.presets:
        known = experiment.parameters_for(data_name)
        for values in experiment.choose(experiment.resolve(data_name, {})).values():
            bare = {name: float(value) if isinstance(value, Quantity) else value for name, value in values.items()}
            kept = json.loads(json.dumps(bare))
            for name, value in values.items():
                found = known[name].restore(kept[name])
                assert found == value and type(found) is type(value), name
                assert not isinstance(value, Quantity) or found.dim is value.dim


def test_value_of_a_record_that_is_out_of_range_is_refused():
    with pytest.raises(ParameterError, match="rate: must be >= 0, got -1"):
        parameter(0.1, low=0).restore(-1)
    with pytest.raises(ParameterError, match="value of rate 'rleu'"):
        parameter("relu", choices=("relu", "tanh")).restore("rleu")


@pytest.mark.parametrize(
    ("limits", "inside", "outside"),
    [
        (dict(most=0.1), [0.1, 0.0], [0.11]),
        (dict(most=None, least=0.4), [0.4, 5.0], [0.39]),
        (dict(most=0.5, least=0.4), [0.4, 0.5], [0.39, 0.51]),
    ],
)
def test_expectation_holds_within_its_limits(limits, inside, outside):
    expect = Expect(note="", **limits)
    assert all(expect.holds(mean) for mean in inside) and not any(expect.holds(mean) for mean in outside)
    assert not expect.holds(float("nan"))
