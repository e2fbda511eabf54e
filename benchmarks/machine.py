"""What a benchmark says of the machine and the libraries that it ran on."""

import os
import platform

import brian2
import numba
import numpy as np
import scipy
from threadpoolctl import threadpool_info


def print_machine():
    """Print processors, versions and threads."""
    print(f"machine   {platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
    versions = {"brian2": brian2, "numpy": np, "scipy": scipy, "numba": numba}
    shown = ", ".join(f"{name} {module.__version__}" for name, module in versions.items())
    print(f"versions  Python {platform.python_version()}, {shown}")
    pools = [
        f"{p['internal_api']} {p['version']} {p.get('architecture', '')} {p['num_threads']}" for p in threadpool_info()
    ]
    print(f"threads   numba {numba.get_num_threads()}, Cython 1; pools: {', '.join(pools)}")
