"""`protonet-N`: prototypical networks, N ways, 5 shots, 5 queries, episodes drawn from a pool of pictures within the step.

The losses are those of steps on episodes whose rows `twin` has written; what is timed draws its own. `eager`: PyTorch with a
pool in memory. `jax`: drawn in numpy, gathered within jit.
"""
import random

import common
from common import JaxLoop, load_jax, load_torch, measured, say
from conv4 import jax_conv4, torch_module

WAYS, SHOTS, QUERIES, EACH, OUTER = int(common.REST[0]), 5, 5, 20, 1e-3
LEAF = "layer1.norm.weight"


def drawn(classes):
    """Rows of an episode's support and query set, sorted by class."""
    support, query = [], []
    for c in random.sample(range(classes), WAYS):
        rows = [c * EACH + row for row in random.sample(range(EACH), SHOTS + QUERIES)]
        support += rows[:SHOTS]
        query += rows[SHOTS:]
    return support, query


def both(checked, timed, gradient):
    """The losses of the written episodes, then the times of drawn ones."""
    count = 3
    losses = measured(checked, 1, 0)[1]
    found = gradient().reshape(-1).tolist()
    losses += measured(checked, count - 1, 0)[1]
    say(measured(timed)[0], losses, found)


def eager():
    torch, data, params = load_torch()
    net = torch_module(torch, params)
    optimizer = torch.optim.Adam(net.parameters(), OUTER)
    pool, y = data["pool"], torch.arange(WAYS).repeat_interleave(QUERIES)

    def step(support, query):
        xs, xq = (pool[rows].float() / 255 for rows in (support, query))
        prototypes = net(xs).view(WAYS, SHOTS, -1).mean(1)
        loss = torch.nn.functional.cross_entropy(-torch.cdist(net(xq), prototypes) ** 2, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    written = data["support_rows"], data["query_rows"]
    leaf = net.layer1.norm.weight
    both(lambda: step(*written), lambda: step(*map(torch.tensor, drawn(len(pool) // EACH))), lambda: leaf.grad)


def jax():
    jax, jnp, data, params = load_jax()
    import numpy

    def mean(p, pool, support, query):
        # Numbers of classes and pictures are known when it is compiled.
        xs, xq = (pool[rows].astype(jnp.float32) / 255 for rows in (support, query))
        prototypes = jax_conv4(jax, jnp, p, xs).reshape(WAYS, SHOTS, -1).mean(1)
        z = jax_conv4(jax, jnp, p, xq)
        logits = 2 * z @ prototypes.T - (z**2).sum(1)[:, None] - (prototypes**2).sum(1)
        logs = jax.nn.log_softmax(logits).reshape(WAYS, QUERIES, WAYS)
        return -jnp.einsum("iqi->", logs) / (WAYS * QUERIES)

    loop = JaxLoop(jax, jnp, params, mean, OUTER, LEAF)
    pool = data["pool"]

    def timed():
        support, query = (numpy.array(rows, dtype=numpy.int32) for rows in drawn(len(pool) // EACH))
        return loop.step(pool, support, query)

    rows = [numpy.asarray(data[k]).astype(numpy.int32) for k in ("support_rows", "query_rows")]
    both(lambda: loop.step(pool, *rows), timed, lambda: loop.gradient)


SYSTEMS = {"eager": eager, "jax": jax}
