"""`trunk-T-A`: one step of T regressions on a shared trunk, with the aggregator A.

`eager`: PyTorch, one backward pass of the weighted losses (for `equal` and `uncertainty`). `backwards`: LibMTL's way, one whole
backward pass for each task, then its weighting. `torchjd`: TorchJD's autojac, `mtl_backward` and `jac_to_grad`. `autogram`:
TorchJD's autogram, a Gramian, its weights, and one backward pass of the weighted losses.
"""
import common
import weightings
from common import load_torch, report

COUNT, METHOD = int(common.REST[0]), common.REST[1]
LEAF, RATE = "trunk.layer1.bias", 1e-4


class Net:
    """Trunk and heads on the written parameters."""

    def __init__(self):
        self.torch, self.data, params = load_torch()
        nn = self.torch.nn
        self.trunk = nn.Sequential(nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU())
        names = {0: "trunk.layer0", 2: "trunk.layer1"}
        state = {f"{i}.{k}": params[f"{n}.{k}"].detach() for i, n in names.items() for k in ("weight", "bias")}
        self.trunk.load_state_dict(state)
        self.heads = [[params[f"heads.task{t}.{k}"] for k in ("weight", "bias")] for t in range(COUNT)]
        self.shared = list(self.trunk.parameters())
        self.own = [p for head in self.heads for p in head]
        self.leaf = self.trunk[2].bias

    def losses(self):
        """The representation and the loss of each task."""
        F = self.torch.nn.functional
        z = self.trunk(self.data["x"])
        y = self.data["y"]
        return z, [F.mse_loss(F.linear(z, *head).squeeze(-1), y[t]) for t, head in enumerate(self.heads)]


def trained(backward, net, extra=()):
    """Measures steps of Adam; `backward` fills the gradients."""
    optimizer = net.torch.optim.Adam([*net.shared, *net.own, *extra], RATE)

    def step():
        optimizer.zero_grad()
        z, losses = net.losses()
        backward(z, losses)
        optimizer.step()
        return sum(loss.item() for loss in losses) / COUNT

    report(step, lambda: net.leaf.grad)


def eager():
    net = Net()
    if METHOD == "equal":
        trained(lambda _, losses: (sum(losses) / COUNT).backward(), net)
        return
    s = net.torch.zeros(COUNT, requires_grad=True)

    def backward(_, losses):
        sum(loss / (2 * s[t].exp()) + s[t] / 2 for t, loss in enumerate(losses)).backward()

    trained(backward, net, [s])


def backwards():
    net = Net()
    torch, direction = net.torch, weightings.of(METHOD, COUNT)

    def backward(_, losses):
        rows = []
        for t, loss in enumerate(losses):
            loss.backward(retain_graph=t + 1 < COUNT)
            rows.append(torch.cat([p.grad.reshape(-1) for p in net.shared]))
            for p in net.shared:
                p.grad = None
        total = direction(torch, torch.stack(rows))
        at = 0
        for p in net.shared:
            p.grad = total[at : at + p.numel()].view_as(p)
            at += p.numel()

    trained(backward, net)


def torchjd():
    from torchjd import aggregation
    from torchjd.autojac import jac_to_grad, mtl_backward

    net = Net()
    aggregator = {
        "pcgrad": aggregation.PCGrad,
        "mgda": aggregation.MGDA,
        "cagrad": lambda: aggregation.CAGrad(c=0.4),
        "upgrad": aggregation.UPGrad,
        "aligned": aggregation.AlignedMTL,
        "nash": lambda: aggregation.NashMTL(n_tasks=COUNT),
    }[METHOD]()

    def backward(z, losses):
        mtl_backward(losses, features=z)
        jac_to_grad(net.shared, aggregator)

    trained(backward, net)


def autogram():
    from torchjd import aggregation
    from torchjd.autogram import Engine

    net = Net()
    torch = net.torch
    weighting = {
        "pcgrad": aggregation.PCGradWeighting,
        "mgda": aggregation.MGDAWeighting,
        "cagrad": lambda: aggregation.CAGradWeighting(c=0.4),
        "upgrad": aggregation.UPGradWeighting,
        "aligned": aggregation.AlignedMTLWeighting,
    }[METHOD]()
    engine = Engine(net.trunk, batch_dim=None)

    def backward(_, losses):
        losses = torch.stack(losses)
        weights = weighting(engine.compute_gramian(losses))
        # Each head has its own loss' gradient, whatever the weight of its task.
        losses.backward(weights, inputs=net.shared, retain_graph=True)
        losses.sum().backward(inputs=net.own)

    trained(backward, net)


SYSTEMS = {"eager": eager, "backwards": backwards, "torchjd": torchjd, "autogram": autogram}
