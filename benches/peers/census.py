"""`census-B` and `census-start`: the tutorial's program on Census-Income, encoded rows read from FOLDER/census.safetensors.

A shared Dense(128, relu), a sigmoid Dense(1) for each task, Adam, binary cross-entropy, accuracy. `census-B` takes the time of
epochs with batches of B rows, validation included; the losses are those of the validation part after each epoch. `census-start`
takes the time from the command to the end of the first step. `keras`: Keras on TensorFlow, `fit` as in the tutorial. `eager`:
PyTorch with batches by index, validation at once. `loader`: PyTorch with TensorDataset and DataLoader.
"""
import os
import time

import common
from common import STEPS, THREADS, file_of, say

BATCH = 32 if common.REST[0] == "start" else int(common.REST[0])
START = common.REST[0] == "start"


def since_command():
    """Microseconds since the command was given."""
    return (time.time() - float(os.environ["STARTED"])) * 1e6


def keras():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf
    from safetensors.numpy import load_file

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    layers = tf.keras.layers
    data = load_file(file_of("census"))
    inputs = tf.keras.Input((data["train_x"].shape[1],))
    shared = layers.Dense(128, "relu")(inputs)
    outputs = [layers.Dense(1, "sigmoid", name=name)(shared) for name in ("income", "never_married")]
    model = tf.keras.Model(inputs, outputs)
    model.compile("adam", loss=["binary_crossentropy"] * 2, metrics=[["accuracy"]] * 2)
    model_y = {part: list(data[f"{part}_y"]) for part in ("train", "validation")}
    times, losses = [], []

    class Watch(tf.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            if START:
                times.append(since_command())
                losses.append(logs["loss"] / 2)
                self.model.stop_training = True

        def on_epoch_end(self, epoch, logs=None):
            if not START:
                times.append((time.perf_counter() - self.began) * 1e6)
                losses.append(logs["val_loss"] / 2)

    train, validation = (data[f"{part}_x"] for part in ("train", "validation"))
    options = {"steps_per_epoch": 1} if START else {"validation_data": (validation, model_y["validation"])}
    model.fit(train, model_y["train"], batch_size=BATCH, epochs=STEPS, verbose=0, callbacks=[Watch()], **options)
    say(times, losses)


def with_torch(batches_of, parts_of):
    """`batches_of` gives an epoch's batches, `parts_of` the validation part's."""
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(THREADS)
    data = load_file(file_of("census"))
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared = nn.Linear(data["train_x"].shape[1], 128)
            self.heads = nn.ModuleList(nn.Linear(128, 1) for _ in range(2))

        def forward(self, x):
            z = torch.relu(self.shared(x))
            return [head(z).squeeze(-1) for head in self.heads]

    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    train = batches_of(torch, data["train_x"], *data["train_y"])
    validation = parts_of(torch, data["validation_x"], *data["validation_y"])

    def step(x, *y):
        losses = [F.binary_cross_entropy_with_logits(logits, y) for logits, y in zip(net(x), y)]
        optimizer.zero_grad()
        loss = sum(losses) / 2
        loss.backward()
        optimizer.step()
        return loss

    def epoch():
        for batch in train():
            step(*batch)
        total, hits, count = 0.0, torch.zeros(2), 0
        with torch.no_grad():
            for x, *y in validation():
                outputs = net(x)
                losses = [F.binary_cross_entropy_with_logits(logits, y) for logits, y in zip(outputs, y)]
                total += float(sum(losses)) / 2 * len(x)
                hits += torch.stack([((logits > 0) == (y > 0.5)).sum() for logits, y in zip(outputs, y)])
                count += len(x)
        return total / count

    if START:
        loss = step(*next(iter(train())))
        say([since_command()], [float(loss)])
    else:
        say(*common.measured(epoch))


def by_index(torch, x, *y):
    def batches():
        order = torch.randperm(len(x))
        for at in range(0, len(x), BATCH):
            rows = order[at : at + BATCH]
            yield x[rows], *(y[rows] for y in y)

    return batches


def at_once(torch, *tensors):
    return lambda: [tensors]


def by_loader(torch, *tensors):
    dataset = torch.utils.data.TensorDataset(*tensors)
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True)
    return lambda: loader


SYSTEMS = {
    "keras": keras,
    "eager": lambda: with_torch(by_index, at_once),
    "loader": lambda: with_torch(by_loader, by_loader),
}
