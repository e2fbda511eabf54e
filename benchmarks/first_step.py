"""Build the spiking network, run one step, print the time (s since 1970) and, after ten more steps, the peak memory.

python benchmarks/first_step.py LANES INPUTS HIDDEN,... OUTPUT: what ``spiking_network.py`` starts in a fresh process.
"""

import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from neurosim_models.lillicrap_2016 import SPIKING

values = SPIKING.resolve("mnist", {"lanes": sys.argv[1], "hidden": sys.argv[3], "output": sys.argv[4]})
images, labels = np.full((1000, int(sys.argv[2])), 0.13, np.float32), np.arange(1000) % 10
circuit = SPIKING.build(values, SimpleNamespace(train_images=images, n_classes=10, name="benchmark"), 1)
circuit.feed(images, labels)
circuit.readout.expect(labels)
circuit.presentation.show(np.arange(4 * values["lanes"]).reshape(4, 1, -1) % 1000)
circuit.network.run(values["dt"], namespace={})
first = time.time()
circuit.network.run(10 * values["dt"], namespace={})
status = Path("/proc/self/status")  # getrusage would give the parent's peak where that is larger
peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
print(first, int(peak[1]) / 1024 if peak else float("nan"))
