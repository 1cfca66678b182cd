"""`conv4-T-K`: MAML of second order on 5-way 1-shot pictures, T tasks, K inner steps, four blocks of 64 channels.

`eager`: PyTorch, one task after the other. `func`: torch.func, vmap over grad, where convolutions of the tasks become one grouped
convolution. `torchopt`: TorchOpt's MetaSGD, one task after the other, as in its examples. `jax`: jit, vmap over grad.
"""
import common
from common import JaxLoop, load_jax, load_torch, report

TASKS, COUNT = (int(x) for x in common.REST) if common.KIND == "conv4" else (0, 0)
INNER, OUTER, LEAF = 0.4 if COUNT == 1 else 0.1, 1e-3, "layer1.norm.weight"
PARTS = ("support_x", "support_y", "query_x", "query_y")


def fused_norm(torch, x, weight, bias):
    """Batch-norm by the statistics of its batch, without running ones, as MAML's."""
    return torch.nn.functional.batch_norm(x, None, None, weight, bias, training=True, eps=1e-5)


def written_norm(torch, x, weight, bias):
    """The same in simple operations: under vmap the second derivative of the fused one is wrong (pytorch/functorch#534)."""
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = x.var((0, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + 1e-5) * weight[:, None, None] + bias[:, None, None]


def torch_conv4(torch, p, x, norm=fused_norm):
    F = torch.nn.functional
    for i in range(4):
        x = F.conv2d(x, p[f"layer{i}.conv.weight"], p[f"layer{i}.conv.bias"], padding=1)
        x = norm(torch, x, p[f"layer{i}.norm.weight"], p[f"layer{i}.norm.bias"])
        x = F.max_pool2d(torch.relu(x), 2)
    x = x.flatten(1)
    return F.linear(x, p["head.weight"], p["head.bias"]) if "head.weight" in p else x


def torch_module(torch, params):
    """The same as a module, for those who want one."""
    nn = torch.nn

    class Conv4(nn.Module):
        def __init__(self):
            super().__init__()
            for i in range(4):
                block = nn.Module()
                block.conv = nn.Conv2d(64 if i else 1, 64, 3, padding=1)
                block.norm = nn.BatchNorm2d(64, track_running_stats=False)
                setattr(self, f"layer{i}", block)
            if "head.weight" in params:
                self.head = nn.Linear(64, len(params["head.weight"]))

        def forward(self, x):
            for i in range(4):
                block = getattr(self, f"layer{i}")
                x = nn.functional.max_pool2d(torch.relu(block.norm(block.conv(x))), 2)
            x = x.flatten(1)
            return self.head(x) if hasattr(self, "head") else x

    net = Conv4()
    net.load_state_dict({k: v.detach() for k, v in params.items()})
    return net


def jax_conv4(jax, jnp, p, x):
    for i in range(4):
        w, b = p[f"layer{i}.conv.weight"], p[f"layer{i}.conv.bias"]
        x = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"))
        x = x + b[:, None, None]
        mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
        x = (x - mean) * jax.lax.rsqrt(variance + 1e-5)
        x = x * p[f"layer{i}.norm.weight"][:, None, None] + p[f"layer{i}.norm.bias"][:, None, None]
        x = jax.lax.reduce_window(jax.nn.relu(x), -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    x = x.reshape(len(x), -1)
    return x @ p["head.weight"].T + p["head.bias"] if "head.weight" in p else x


def eager():
    torch, data, params = load_torch()
    entropy = torch.nn.functional.cross_entropy
    optimizer = torch.optim.Adam(params.values(), OUTER)

    def step():
        optimizer.zero_grad()
        total = 0.0
        for t in range(TASKS):
            fast = params
            for _ in range(COUNT):
                loss = entropy(torch_conv4(torch, fast, data["support_x"][t]), data["support_y"][t])
                grads = torch.autograd.grad(loss, fast.values(), create_graph=True)
                fast = {k: v - INNER * g for (k, v), g in zip(fast.items(), grads)}
            loss = entropy(torch_conv4(torch, fast, data["query_x"][t]), data["query_y"][t]) / TASKS
            loss.backward()
            total += loss.item()
        optimizer.step()
        return total

    report(step, lambda: params[LEAF].grad)


def func():
    torch, data, params = load_torch()
    entropy = torch.nn.functional.cross_entropy
    optimizer = torch.optim.Adam(params.values(), OUTER)

    def inner(p, x, y):
        return entropy(torch_conv4(torch, p, x, written_norm), y)

    def query(p, xs, ys, xq, yq):
        for _ in range(COUNT):
            g = torch.func.grad(inner)(p, xs, ys)
            p = {k: v - INNER * g[k] for k, v in p.items()}
        return entropy(torch_conv4(torch, p, xq, written_norm), yq)

    def mean(p):
        return torch.func.vmap(query, in_dims=(None, 0, 0, 0, 0))(p, *(data[k] for k in PARTS)).mean()

    outer = torch.func.grad_and_value(mean)

    def step():
        grads, loss = outer(params)
        for k, p in params.items():
            p.grad = grads[k].detach()
        optimizer.step()
        return loss.detach()

    report(step, lambda: params[LEAF].grad)


def torchopt():
    torch, data, params = load_torch()
    import torchopt as topt

    net = torch_module(torch, params)
    entropy = torch.nn.functional.cross_entropy
    inner = topt.MetaSGD(net, lr=INNER)
    # The parameters are replaced in adaptation and put back after it.
    leaf = net.layer1.norm.weight
    optimizer = torch.optim.Adam(net.parameters(), OUTER)

    def step():
        net_start = topt.extract_state_dict(net, by="reference", detach_buffers=True)
        inner_start = topt.extract_state_dict(inner, by="copy")
        losses = []
        for t in range(TASKS):
            for _ in range(COUNT):
                inner.step(entropy(net(data["support_x"][t]), data["support_y"][t]))
            losses.append(entropy(net(data["query_x"][t]), data["query_y"][t]))
            topt.recover_state_dict(net, net_start)
            topt.recover_state_dict(inner, inner_start)
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    report(step, lambda: leaf.grad)


def jax():
    jax, jnp, data, params = load_jax()

    def entropy(p, x, y):
        logs = jax.nn.log_softmax(jax_conv4(jax, jnp, p, x))
        return -jnp.take_along_axis(logs, y[:, None], 1).mean()

    def query(p, xs, ys, xq, yq):
        for _ in range(COUNT):
            g = jax.grad(entropy)(p, xs, ys)
            p = jax.tree.map(lambda v, g: v - INNER * g, p, g)
        return entropy(p, xq, yq)

    def mean(p):
        return jnp.mean(jax.vmap(query, in_axes=(None, 0, 0, 0, 0))(p, *(data[k] for k in PARTS)))

    loop = JaxLoop(jax, jnp, params, mean, OUTER, LEAF)
    report(loop.step, lambda: loop.gradient)


SYSTEMS = {"eager": eager, "func": func, "torchopt": torchopt, "jax": jax}
