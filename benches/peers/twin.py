"""The work of `twin` in other systems: `python twin.py SYSTEM WORK STEPS SECONDS THREADS FOLDER`.

Data and the parameters at the start are read from FOLDER/WORK.safetensors, which `twin` has written. Prints one line of JSON:
the microseconds of each step, the mean loss before each, the gradient of one leaf in the first, the highest resident memory in
KiB. Each kind of work is a module of its own, and says there which systems do it.
"""
import importlib

import common

if common.KIND not in ("sinusoid", "conv4", "protonet", "trunk", "census"):
    raise SystemExit(f"there is no work `{common.WORK}`")
systems = importlib.import_module(common.KIND).SYSTEMS
if common.SYSTEM not in systems:
    raise SystemExit(f"`{common.SYSTEM}` does not do `{common.WORK}`, but: {', '.join(systems)}")
systems[common.SYSTEM]()
