"""Let OpenBLAS use the processor that is there.

OpenBLAS up to 0.3.30 at least does not know AMD's Zen 5 and takes kernels for AVX2 where AVX-512 would be right
(OpenMathLib/OpenBLAS issue 6029, mended by pull request 6033). The network of Lillicrap et al. 2016 at 100 lanes needs
22 ms of products a step with them, and 14 ms with the kernels for AVX-512. The choice is made when the library is
loaded, so it has to be named before NumPy is imported. This module imports the standard library only.
"""

import os
import sys
from pathlib import Path

ZEN_5 = 26  # AMD's processor family
NEEDED = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
VARIABLE = "OPENBLAS_CORETYPE"


def name_kernels(cpuinfo=Path("/proc/cpuinfo")):
    """Set the environment variable OPENBLAS_CORETYPE on a Zen 5 or later, unless the user has.

    Parameters
    ----------
    cpuinfo : Path
        Linux's description of the processors; where there is none, nothing is done.

    Returns
    -------
    str or None
        What the variable says afterwards.
    """
    if VARIABLE not in os.environ and "numpy" not in sys.modules and cpuinfo.is_file():
        first = cpuinfo.read_text().split("\n\n")[0]
        facts = _facts(first)
        amd = facts.get("vendor_id") == "AuthenticAMD" and int(facts.get("cpu family", 0)) >= ZEN_5
        if amd and NEEDED <= set(facts.get("flags", "").split()):
            os.environ[VARIABLE] = "SkylakeX"
    return os.environ.get(VARIABLE)


def _facts(text):
    """Return the lines ``key : value`` as a dict."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
