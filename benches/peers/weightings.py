"""LibMTL's ways from a Jacobian of task gradients to one direction, with the solvers that it uses."""
import random

import numpy as np


def min_norm(torch, rows):
    """MGDA: Frank-Wolfe as in its authors' code."""
    gram = rows @ rows.T
    count = len(rows)
    w = torch.full((count,), 1 / count)
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
    return w @ rows


def pcgrad(torch, rows):
    changed = rows.clone()
    for i in range(len(rows)):
        order = list(range(len(rows)))
        random.shuffle(order)
        for j in order:
            dot = torch.dot(changed[i], rows[j])
            if dot < 0:
                changed[i] -= dot * rows[j] / (rows[j].norm().pow(2) + 1e-8)
    return changed.sum(0)


def cagrad(torch, rows, c=0.4):
    """SciPy's SLSQP from equal weights."""
    from scipy.optimize import minimize

    count = len(rows)
    gram = (rows @ rows.T).numpy()
    radius = float(c * np.sqrt(gram.mean() + 1e-8) + 1e-8)
    start = np.ones(count) / count

    def objective(x):
        return (x @ gram @ start + radius * np.sqrt(x @ gram @ x + 1e-8)).sum()

    constraint = {"type": "eq", "fun": lambda x: 1 - sum(x)}
    found = minimize(objective, start, bounds=[(0, 1)] * count, constraints=constraint)
    mixed = torch.tensor(found.x, dtype=rows.dtype) @ rows
    return (rows.mean(0) + radius / (mixed.norm() + 1e-8) * mixed) / (1 + c**2)


def upgrad(torch, rows, norm_eps=1e-4, reg_eps=1e-4):
    """quadprog, one programme for each task, on a Gramian of trace 1 with a little on its diagonal."""
    import quadprog

    count = len(rows)
    gram = (rows @ rows.T).numpy().astype(np.float64)
    trace = np.trace(gram)
    gram = gram / trace if trace >= norm_eps else np.zeros_like(gram)
    gram += reg_eps * np.eye(count)
    weights = np.zeros(count)
    for task in range(count):
        low = np.zeros(count)
        low[task] = 1 / count
        weights += quadprog.solve_qp(gram, np.zeros(count), np.eye(count), low)[0]
    return torch.tensor(weights, dtype=rows.dtype) @ rows


def aligned(torch, rows):
    """The eigenvalues of the Gramian; all are scaled to the smallest."""
    gram = rows @ rows.T
    values, vectors = torch.linalg.eigh(gram)
    rank = int((values > values.max() * len(gram) * torch.finfo().eps).sum())
    order = torch.argsort(values, descending=True)
    values, vectors = values[order][:rank], vectors[:, order][:, :rank]
    balance = values[-1].sqrt() * (vectors @ torch.diag(1 / values.sqrt()) @ vectors.T)
    return balance.sum(0) @ rows


class Nash:
    """cvxpy with ECOS, twenty linearisations at most, from the weights of the step before."""

    def __init__(self, count, rounds=20, max_norm=1.0):
        import cvxpy as cp

        self.cp, self.rounds, self.max_norm = cp, rounds, max_norm
        self.last = np.ones(count, dtype=np.float32)
        self.alpha = cp.Variable(shape=(count,), nonneg=True)
        self.before = cp.Parameter(shape=(count,), value=self.last)
        self.gram = cp.Parameter(shape=(count, count), value=np.eye(count))
        self.scale = cp.Parameter(shape=(1,), value=np.array([1.0]))
        slope = 1 / self.before + (1 / (self.gram @ self.before)) @ self.gram
        phi = slope @ (self.alpha - self.before)
        product = self.gram @ self.alpha
        logs = [-cp.log(a * self.scale) - cp.log(g) <= 0 for a, g in zip(self.alpha, product)]
        self.problem = cp.Problem(cp.Minimize(cp.sum(product) + phi / self.scale), logs)

    def solve(self, gram):
        self.gram.value = gram
        now = self.last
        for _ in range(self.rounds):
            self.alpha.value = self.before.value = now
            try:
                self.problem.solve(solver=self.cp.ECOS, warm_start=True, max_iters=100)
            except Exception:  # as LibMTL does: the weights stay
                self.alpha.value = self.before.value
            found = self.alpha.value
            near = np.linalg.norm(gram @ now - 1 / (now + 1e-10)) < 1e-3
            if found is None or near or np.linalg.norm(found - self.before.value) < 1e-6:
                break
            now = found
        self.last = now if now is not None else self.last
        return self.last

    def __call__(self, torch, rows):
        gram = rows @ rows.T
        norm = torch.norm(gram)
        self.scale.value = norm.numpy().reshape((1,))
        alpha = self.solve((gram / norm).numpy())
        direction = torch.tensor(alpha, dtype=rows.dtype) @ rows
        return direction * min(1.0, self.max_norm / float(direction.norm()))


def of(method, count):
    """The function from torch and a Jacobian to a direction."""
    if method == "nash":
        return Nash(count)
    return {"pcgrad": pcgrad, "mgda": min_norm, "cagrad": cagrad, "upgrad": upgrad, "aligned": aligned}[method]
