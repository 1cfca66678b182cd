"""`sinusoid-K`: MAML of second order on sine waves, K inner steps.

`eager`: PyTorch, one task after the other. `func`: torch.func, vmap over grad. `torchopt`: TorchOpt's MetaSGD, one task after
the other, as in its examples. `jax`: jit, vmap over grad.
"""
import common
from common import JaxLoop, load_jax, load_torch, report

COUNT = int(common.REST[0])
INNER, OUTER, LEAF = 0.01, 1e-3, "layer1.bias"
PARTS = ("support_x", "support_y", "query_x", "query_y")


def mlp(torch, p, x):
    F = torch.nn.functional
    x = torch.relu(F.linear(x, p["layer0.weight"], p["layer0.bias"]))
    x = torch.relu(F.linear(x, p["layer1.weight"], p["layer1.bias"]))
    return F.linear(x, p["head.weight"], p["head.bias"])


def eager():
    torch, data, params = load_torch()
    mse = torch.nn.functional.mse_loss
    optimizer = torch.optim.Adam(params.values(), OUTER)
    tasks = len(data["support_x"])

    def step():
        optimizer.zero_grad()
        total = 0.0
        for t in range(tasks):
            fast = params
            for _ in range(COUNT):
                loss = mse(mlp(torch, fast, data["support_x"][t]), data["support_y"][t])
                grads = torch.autograd.grad(loss, fast.values(), create_graph=True)
                fast = {k: v - INNER * g for (k, v), g in zip(fast.items(), grads)}
            loss = mse(mlp(torch, fast, data["query_x"][t]), data["query_y"][t]) / tasks
            loss.backward()
            total += loss.item()
        optimizer.step()
        return total

    report(step, lambda: params[LEAF].grad)


def func():
    torch, data, params = load_torch()
    mse = torch.nn.functional.mse_loss
    optimizer = torch.optim.Adam(params.values(), OUTER)

    def inner(p, x, y):
        return mse(mlp(torch, p, x), y)

    def query(p, xs, ys, xq, yq):
        for _ in range(COUNT):
            g = torch.func.grad(inner)(p, xs, ys)
            p = {k: v - INNER * g[k] for k, v in p.items()}
        return mse(mlp(torch, p, xq), yq)

    def mean(p):
        return torch.func.vmap(query, in_dims=(None, 0, 0, 0, 0))(p, *(data[k] for k in PARTS)).mean()

    outer = torch.func.grad_and_value(mean)

    def step():
        grads, loss = outer(params)
        for k, p in params.items():
            p.grad = grads[k]
        optimizer.step()
        return loss

    report(step, lambda: params[LEAF].grad)


def torchopt():
    torch, data, params = load_torch()
    import torchopt as topt

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer0, self.layer1 = torch.nn.Linear(1, 40), torch.nn.Linear(40, 40)
            self.head = torch.nn.Linear(40, 1)

        def forward(self, x):
            return self.head(torch.relu(self.layer1(torch.relu(self.layer0(x)))))

    net = Net()
    net.load_state_dict({k: v.detach() for k, v in params.items()})
    mse = torch.nn.functional.mse_loss
    inner = topt.MetaSGD(net, lr=INNER)
    # The parameters are replaced in adaptation and put back after it.
    leaf = net.layer1.bias
    optimizer = torch.optim.Adam(net.parameters(), OUTER)
    tasks = len(data["support_x"])

    def step():
        net_start = topt.extract_state_dict(net, by="reference")
        inner_start = topt.extract_state_dict(inner, by="copy")
        losses = []
        for t in range(tasks):
            for _ in range(COUNT):
                inner.step(mse(net(data["support_x"][t]), data["support_y"][t]))
            losses.append(mse(net(data["query_x"][t]), data["query_y"][t]))
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

    def net(p, x):
        x = jax.nn.relu(x @ p["layer0.weight"].T + p["layer0.bias"])
        x = jax.nn.relu(x @ p["layer1.weight"].T + p["layer1.bias"])
        return x @ p["head.weight"].T + p["head.bias"]

    def mse(p, x, y):
        return jnp.mean((net(p, x) - y) ** 2)

    def query(p, xs, ys, xq, yq):
        for _ in range(COUNT):
            g = jax.grad(mse)(p, xs, ys)
            p = jax.tree.map(lambda v, g: v - INNER * g, p, g)
        return mse(p, xq, yq)

    def mean(p):
        return jnp.mean(jax.vmap(query, in_axes=(None, 0, 0, 0, 0))(p, *(data[k] for k in PARTS)))

    loop = JaxLoop(jax, jnp, params, mean, OUTER, LEAF)
    report(loop.step, lambda: loop.gradient)


SYSTEMS = {"eager": eager, "func": func, "torchopt": torchopt, "jax": jax}
