"""What all experiments compare: algorithms and schedules; and how a table of the paper is written."""

from neurosim.experiment import Comparison, Published
from neurosim_models.bartunov_2018.network import ALTERNATING, AO_SDTP, BP, DFA, DTP, FA, PARALLEL, SDTP, TP

CONDITIONS = {
    "bp": {"algorithm": BP, "schedule": PARALLEL},
    "fa": {"algorithm": FA, "schedule": PARALLEL},
    "dfa": {"algorithm": DFA, "schedule": PARALLEL},
    "tp": {"algorithm": TP, "schedule": PARALLEL},
    "dtp_parallel": {"algorithm": DTP, "schedule": PARALLEL},
    "dtp_alternating": {"algorithm": DTP, "schedule": ALTERNATING},
    "sdtp_parallel": {"algorithm": SDTP, "schedule": PARALLEL},
    "sdtp_alternating": {"algorithm": SDTP, "schedule": ALTERNATING},
    "ao_sdtp_parallel": {"algorithm": AO_SDTP, "schedule": PARALLEL},
    "ao_sdtp_alternating": {"algorithm": AO_SDTP, "schedule": ALTERNATING},
}
FACTORS = ("algorithm", "schedule")
COMPARISONS = (
    Comparison("dtp_parallel", "tp", "ours: the correction by differences makes up for inverses that are not exact"),
    Comparison("dtp_parallel", "sdtp_parallel", "NeurIPS: less error with the gradient for the last hidden layer"),
    Comparison("bp", "sdtp_parallel", "NeurIPS: less error by backprop"),
)


def published(data, source, table, note=""):
    """Return published errors as an Experiment takes them.

    Parameters
    ----------
    data : str
        The data set.
    source : str
        Paper and table.
    table : dict of str to (float, float)
        Condition to its errors in percent, train and test.
    note : str
        What is different from our experiment.
    """
    return tuple(
        Published(percent / 100, f"{percent:.2f} % {split} error{note}", data, source, condition, split)
        for condition, errors in table.items()
        for split, percent in zip(("train", "test"), errors, strict=True)
    )
