"""The work of `twin` in other systems: `python twin.py SYSTEM WORK STEPS THREADS FOLDER`.

Data and parameters are read from FOLDER/WORK.safetensors, which `twin` has written. Prints one line of JSON: the
microseconds of each step, the mean loss before each, the highest resident memory in KiB.

Systems for `sinusoid-K`: `eager` (PyTorch, one task after the other), `func` (torch.func, vmap over grad), `jax` (jit, vmap
over grad). For `trunk-T-A`: `backwards` (PyTorch, one whole backward pass for each task, as LibMTL; one in all for equal
weights and uncertainty), `torchjd` (its autojac engine).
"""
import json
import os
import resource
import sys
import time

SYSTEM, WORK, STEPS, THREADS, FOLDER = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(THREADS)
KIND, COUNT, *REST = WORK.split("-")
COUNT = int(COUNT)
FILE = os.path.join(FOLDER, WORK + ".safetensors")


def report(step):
    times, losses = [], []
    for _ in range(STEPS):
        start = time.perf_counter()
        loss = step()
        times.append((time.perf_counter() - start) * 1e6)
        losses.append(float(loss))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"times": times, "losses": losses, "memory": memory}))


def load():
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(THREADS)
    tensors = load_file(FILE)
    data = {k[5:]: v for k, v in tensors.items() if k.startswith("data.")}
    params = {k[7:]: v.clone().requires_grad_() for k, v in tensors.items() if k.startswith("params.")}
    return torch, data, params


def mlp(torch, p, x):
    F = torch.nn.functional
    x = torch.relu(F.linear(x, p["layer0.weight"], p["layer0.bias"]))
    x = torch.relu(F.linear(x, p["layer1.weight"], p["layer1.bias"]))
    return F.linear(x, p["head.weight"], p["head.bias"])


def sinusoid_eager():
    torch, data, params = load()
    mse = torch.nn.functional.mse_loss
    optimizer = torch.optim.Adam(params.values(), 1e-3)
    tasks = len(data["support_x"])

    def step():
        optimizer.zero_grad()
        total = 0.0
        for t in range(tasks):
            fast = params
            for _ in range(COUNT):
                loss = mse(mlp(torch, fast, data["support_x"][t]), data["support_y"][t])
                grads = torch.autograd.grad(loss, fast.values(), create_graph=True)
                fast = {k: v - 0.01 * g for (k, v), g in zip(fast.items(), grads)}
            loss = mse(mlp(torch, fast, data["query_x"][t]), data["query_y"][t]) / tasks
            loss.backward()
            total += loss.item()
        optimizer.step()
        return total

    report(step)


def sinusoid_func():
    torch, data, params = load()
    mse = torch.nn.functional.mse_loss
    optimizer = torch.optim.Adam(params.values(), 1e-3)

    def inner(p, x, y):
        return mse(mlp(torch, p, x), y)

    def query(p, xs, ys, xq, yq):
        for _ in range(COUNT):
            g = torch.func.grad(inner)(p, xs, ys)
            p = {k: v - 0.01 * g[k] for k, v in p.items()}
        return mse(mlp(torch, p, xq), yq)

    def mean(p):
        d = data
        args = (d["support_x"], d["support_y"], d["query_x"], d["query_y"])
        return torch.func.vmap(query, in_dims=(None, 0, 0, 0, 0))(p, *args).mean()

    outer = torch.func.grad_and_value(mean)

    def step():
        grads, loss = outer(params)
        for k, p in params.items():
            p.grad = grads[k]
        optimizer.step()
        return loss

    report(step)


def sinusoid_jax():
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if THREADS > 1 else 'false'} intra_op_parallelism_threads={THREADS}"
    import jax
    import jax.numpy as jnp
    from safetensors.numpy import load_file

    tensors = load_file(FILE)
    d = {k[5:]: jnp.asarray(v) for k, v in tensors.items() if k.startswith("data.")}
    params = {k[7:]: jnp.asarray(v) for k, v in tensors.items() if k.startswith("params.")}

    def net(p, x):
        x = jax.nn.relu(x @ p["layer0.weight"].T + p["layer0.bias"])
        x = jax.nn.relu(x @ p["layer1.weight"].T + p["layer1.bias"])
        return x @ p["head.weight"].T + p["head.bias"]

    def mse(p, x, y):
        return jnp.mean((net(p, x) - y) ** 2)

    def query(p, xs, ys, xq, yq):
        for _ in range(COUNT):
            g = jax.grad(mse)(p, xs, ys)
            p = jax.tree.map(lambda v, g: v - 0.01 * g, p, g)
        return mse(p, xq, yq)

    def mean(p):
        args = (d["support_x"], d["support_y"], d["query_x"], d["query_y"])
        return jnp.mean(jax.vmap(query, in_axes=(None, 0, 0, 0, 0))(p, *args))

    @jax.jit
    def update(p, m, v, t):
        loss, g = jax.value_and_grad(mean)(p)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        c1, c2 = 1 - 0.9**t, 1 - 0.999**t
        p = jax.tree.map(lambda p, m, v: p - 1e-3 * (m / c1) / (jnp.sqrt(v / c2) + 1e-8), p, m, v)
        return p, m, v, loss

    zeros = jax.tree.map(jnp.zeros_like, params)
    state = [params, zeros, zeros, 0]

    def step():
        state[3] += 1
        p, m, v, loss = update(state[0], state[1], state[2], float(state[3]))
        state[:3] = p, m, v
        return loss.block_until_ready()

    report(step)


def trunk_net(torch, params, x):
    F = torch.nn.functional
    x = torch.relu(F.linear(x, params["trunk.layer0.weight"], params["trunk.layer0.bias"]))
    return torch.relu(F.linear(x, params["trunk.layer1.weight"], params["trunk.layer1.bias"]))


def trunk(torchjd):
    torch, data, params = load()
    F = torch.nn.functional
    method = REST[0]
    shared = [v for k, v in params.items() if k.startswith("trunk.")]
    heads = [[params[f"heads.task{t}.{k}"] for k in ("weight", "bias")] for t in range(COUNT)]
    s = torch.zeros(COUNT, requires_grad=True)
    every = list(params.values()) + ([s] if method == "uncertainty" else [])
    optimizer = torch.optim.Adam(every, 1e-4)
    if torchjd and method in ("pcgrad", "mgda"):
        from torchjd.aggregation import MGDA, PCGrad
        from torchjd.autojac import mtl_backward

        aggregator = PCGrad() if method == "pcgrad" else MGDA()

    def losses_of(z):
        return [F.mse_loss(F.linear(z, *heads[t]).squeeze(-1), data["y"][t]) for t in range(COUNT)]

    def min_norm(gram):
        # Frank-Wolfe as in the authors' code and in LibMTL.
        w = torch.full((COUNT,), 1 / COUNT)
        for _ in range(250):
            product = gram @ w
            i = int(product.argmin())
            now, mixed, own = w @ product, product[i], gram[i, i]
            if mixed >= now:
                gamma = 0.0
            elif mixed >= own:
                gamma = 1.0
            else:
                gamma = float((now - mixed) / (now + own - 2 * mixed))
            w = (1 - gamma) * w
            w[i] += gamma
            if abs(gamma) < 1e-6:
                break
        return w

    def by_rows(losses):
        rows = [torch.cat([g.reshape(-1) for g in torch.autograd.grad(l, shared, retain_graph=True)]) for l in losses]
        for t, loss in enumerate(losses):
            for p, g in zip(heads[t], torch.autograd.grad(loss, heads[t], retain_graph=True)):
                p.grad = g
        jac = torch.stack(rows)
        if method == "mgda":
            total = min_norm(jac @ jac.T) @ jac
        else:
            import random

            total = torch.zeros_like(rows[0])
            for i in range(COUNT):
                p = rows[i].clone()
                order = list(range(COUNT))
                random.shuffle(order)
                for j in order:
                    dot = p @ rows[j]
                    if j != i and dot < 0:
                        p -= dot * rows[j] / rows[j].pow(2).sum()
                total += p
        at = 0
        for p in shared:
            p.grad = total[at : at + p.numel()].view_as(p)
            at += p.numel()

    def step():
        optimizer.zero_grad()
        z = trunk_net(torch, params, data["x"])
        losses = losses_of(z)
        if method == "equal":
            (sum(losses) / COUNT).backward()
        elif method == "uncertainty":
            sum(l / (2 * s[t].exp()) + s[t] / 2 for t, l in enumerate(losses)).backward()
        elif torchjd:
            mtl_backward(losses, features=z)
            from torchjd.autojac import jac_to_grad

            jac_to_grad(shared, aggregator)
        else:
            by_rows(losses)
        optimizer.step()
        return sum(l.item() for l in losses) / COUNT

    report(step)


if KIND == "sinusoid":
    {"eager": sinusoid_eager, "func": sinusoid_func, "jax": sinusoid_jax}[SYSTEM]()
else:
    trunk(SYSTEM == "torchjd")
