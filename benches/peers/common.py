"""What all works share: the arguments, the file that `twin` has written, and the loop that measures."""
import json
import os
import resource
import sys
import time

SYSTEM, WORK, STEPS, SECONDS = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
THREADS, FOLDER = int(sys.argv[5]), sys.argv[6]
KIND, *REST = WORK.split("-")
# Whether a GPU may round what is multiplied to TF32.
TF32 = os.environ.get("PEERS_TF32", "0") == "1"
# Where the work is done: "cpu", or "cuda".
DEVICE = os.environ.get("PEERS_DEVICE", "cpu")
# Before any library reads them.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(THREADS)


def file_of(name=WORK):
    return os.path.join(FOLDER, name + ".safetensors")


def say(times, losses, gradient=None):
    """The one line of JSON that is read."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = {"times": times, "losses": losses, "memory": memory}
    if gradient is not None:
        said["gradient"] = [float(x) for x in gradient]
    print(json.dumps(said))


def measured(step, steps=STEPS, seconds=SECONDS):
    """The microseconds and the losses of so many steps, and until so long has passed; `step` gives the mean loss before it."""
    times, losses = [], []
    end = time.perf_counter() + seconds
    while len(times) < steps or time.perf_counter() < end:
        start = time.perf_counter()
        loss = step()
        times.append((time.perf_counter() - start) * 1e6)
        losses.append(float(loss))
    return times, losses


def report(step, gradient):
    """Measures all steps; `gradient` is asked after the first one for the gradient of one leaf."""
    times, losses = measured(step, 1, 0)
    found = gradient().reshape(-1).tolist()
    more = measured(step, STEPS - 1)
    say(times + more[0], losses + more[1], found)


def is_trained(name):
    """Whether an entry of the file is a parameter; running statistics are not used where batches have their own."""
    return name.startswith("params.") and ".running_" not in name


def load_torch():
    """torch, the data, and the parameters as leaves."""
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(THREADS)
    torch.set_default_device(DEVICE)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = TF32
    tensors = load_file(file_of(), device=DEVICE)
    data = {k[5:]: v for k, v in tensors.items() if k.startswith("data.")}
    params = {k[7:]: v.clone().requires_grad_() for k, v in tensors.items() if is_trained(k)}
    return torch, data, params


def load_jax():
    """jax, its numpy, the data, and the parameters."""
    eigen = "true" if THREADS > 1 else "false"
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={THREADS}"
    if DEVICE == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    if DEVICE == "cpu" and hasattr(os, "sched_setaffinity"):
        # XLA's own pool has a thread for each processor that it may use, whatever the flags say.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    import jax
    import jax.numpy as jnp
    from safetensors.numpy import load_file

    jax.config.update("jax_default_matmul_precision", "default" if TF32 else "highest")
    tensors = load_file(file_of())
    data = {k[5:]: jnp.asarray(v) for k, v in tensors.items() if k.startswith("data.")}
    params = {k[7:]: jnp.asarray(v) for k, v in tensors.items() if is_trained(k)}
    return jax, jnp, data, params


def jax_adam(jax, jnp, mean, rate, leaf):
    """A jitted step of Adam on `mean(params, *batch)`: parameters, two moments, the loss, the gradient of a leaf."""

    @jax.jit
    def update(p, m, v, t, *batch):
        loss, g = jax.value_and_grad(mean)(p, *batch)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        c1, c2 = 1 - 0.9**t, 1 - 0.999**t
        p = jax.tree.map(lambda p, m, v: p - rate * (m / c1) / (jnp.sqrt(v / c2) + 1e-8), p, m, v)
        return p, m, v, loss, g[leaf]

    return update


class JaxLoop:
    """The state of a training around `jax_adam`."""

    def __init__(self, jax, jnp, params, mean, rate, leaf):
        self.update = jax_adam(jax, jnp, mean, rate, leaf)
        zeros = jax.tree.map(jnp.zeros_like, params)
        self.state, self.number, self.gradient = (params, zeros, zeros), 0, None

    def step(self, *batch):
        self.number += 1
        p, m, v, loss, self.gradient = self.update(*self.state, float(self.number), *batch)
        self.state = (p, m, v)
        return loss.block_until_ready()
