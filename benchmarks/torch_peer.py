"""Training: time of a step of SASRec, here against PyTorch on the same device.

usage: python -m benchmarks.torch_peer [--width 64 256] [--objective ce gbce] [--precision bf16]

Needs torch (`pip install podway[peer]`), for the device that JAX uses. Both compute the same: the
parameters are copied over and the losses of one batch compared before anything is timed. PyTorch
runs as written ("eager") and through torch.compile, with its own attention kernel, in a process of
its own, so that neither gains or loses by the other's settings. The programs take turns on the same
random histories, and each ratio is a program's median time over ours. On a GPU f32 products run in
TF32 on either side, and bf16 in PyTorch is autocast.
"""

import argparse
import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import torch.nn.functional as F  # pyright: ignore[reportMissingImports]

from benchmarks import timing
from podway.framework import config, task
from podway.framework.devices import allocator, hardware, mesh
from podway.framework.embedding.lookup import EmbeddedRows
from podway.framework.models.parts.item_losses import FullSoftmax, GBce, ItemLoss
from podway.framework.models.sasrec import SasRec
from podway.framework.schema.schema import FIRST_VALUE, Feature, Schema
from podway.framework.training.optimizer import AdamW
from podway.framework.training.program import build_program

Step = Callable[..., Any]
"""Takes a step on what `inputs` made for it; `float` waits for the loss that it returns."""

OBJECTIVES: dict[str, ItemLoss] = {"ce": FullSoftmax(), "gbce": GBce()}


class Peer(torch.nn.Module):
    """framework/models/sasrec.py in PyTorch: pre-norm blocks, shared item embeddings."""

    def __init__(self, model: SasRec, items: int, parameters: Mapping[str, np.ndarray]):
        super().__init__()
        self.model, self.items = model, items
        self.values = torch.nn.ParameterDict(
            {path.replace("/", "-"): torch.nn.Parameter(torch.tensor(np.array(value)))
             for path, value in parameters.items()}
        )  # fmt: skip

    def of(self, path: str) -> torch.Tensor:
        return self.values[path.replace("/", "-")]

    def linear(self, x: torch.Tensor, path: str) -> torch.Tensor:
        return F.linear(x, self.of(f"{path}/kernel").T, self.of(f"{path}/bias"))

    def norm(self, x: torch.Tensor, path: str) -> torch.Tensor:
        scale, bias = self.of(f"{path}/scale"), self.of(f"{path}/bias")
        return F.layer_norm(x, x.shape[-1:], scale, bias, eps=1e-6)

    def drop(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, self.model.dropout, self.training)

    def hidden(self, read: torch.Tensor) -> torch.Tensor:
        batch, length = read.shape
        heads = self.model.heads
        position = self.of("position/embedding")[:length]
        x = self.drop(F.embedding(read, self.of("item/embedding")) + position)
        for at in range(self.model.blocks):
            path = f"blocks/{at}"
            qkv = self.linear(self.norm(x, f"{path}/attention_norm"), f"{path}/qkv")
            query, key, value = qkv.view(batch, length, heads, 3, -1).permute(3, 0, 2, 1, 4)
            attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
            attended = attended.transpose(1, 2).reshape(batch, length, -1)
            x = x + self.drop(self.linear(attended, f"{path}/out"))
            up = self.linear(self.norm(x, f"{path}/feed_forward_norm"), f"{path}/up")
            up = F.gelu(up, approximate="tanh")
            x = x + self.drop(self.linear(up, f"{path}/down"))
        return self.norm(x, "norm")

    def forward(self, item: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """Mean loss of items [batch, length + 1]; drawn [batch, negatives]."""
        read, targets = item[:, :-1], item[:, 1:]
        hidden, table = self.hidden(read), self.of("item/embedding")
        objective = self.model.objective
        valid = targets >= FIRST_VALUE
        if isinstance(objective, FullSoftmax):
            logits = F.linear(hidden, table[FIRST_VALUE : self.items])
            own = torch.where(valid, targets - FIRST_VALUE, -100)
            return F.cross_entropy(logits.view(-1, logits.shape[-1]), own.view(-1))
        assert isinstance(objective, GBce)
        own = (hidden * F.embedding(targets, table)).sum(-1)
        scores = torch.einsum("blw,bnw->bln", hidden, F.embedding(drawn, table))
        other = drawn[:, None, :] != targets[..., None]
        against = torch.where(other, F.softplus(scores), 0.0).sum(-1)
        against = against * drawn.shape[1] / other.sum(-1).clamp(min=1)
        terms = objective.beta(self.items) * F.softplus(-own) + against
        return torch.where(valid, terms, 0.0).sum() / valid.sum() / (1 + drawn.shape[1])


def peer_step(peer: Peer, kind: str, precision: str) -> Step:
    """A training step in PyTorch: clipping to norm 1, then AdamW."""
    optimizer = torch.optim.AdamW(
        peer.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    modes = {"compiled": "default", "graphs": "reduce-overhead"}
    forward = torch.compile(peer, mode=modes[kind]) if kind in modes else peer

    def run(item: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(item.device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = forward(item, drawn)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    return run


def serve(
    pipe: Connection, model: SasRec, items: int, parameters: Mapping[str, np.ndarray],
    kinds: tuple[str, ...], precision: str, device: str,
) -> None:  # fmt: skip
    """PyTorch's process: does what it is told through the pipe, until this is closed.

    ("loss", item, drawn) → a batch's loss without dropout; ("batch", item, drawn): what the next
    steps are taken on; a kind: dispatches a step; ("wait",) → the last step's loss.
    """
    torch.set_num_threads(os.cpu_count() or 1)
    torch.set_float32_matmul_precision("high")
    peers = {kind: Peer(model, items, parameters).to(device) for kind in kinds}
    steps = {kind: peer_step(peer, kind, precision) for kind, peer in peers.items()}
    given: list[torch.Tensor] = []
    loss = torch.zeros(())
    with contextlib.suppress(EOFError):
        while True:
            order, *arrays = pipe.recv()
            if order == "wait":
                pipe.send(loss.item())
            elif order in steps:
                loss = steps[order](*given)
            else:
                given = [torch.tensor(each).long().to(device) for each in arrays]
                if order == "loss":
                    peer = peers[kinds[0]].eval()
                    with torch.no_grad():
                        pipe.send(peer(*given).item())
                    peer.train()
                else:
                    pipe.send("placed")


class Dispatched:
    """A step in PyTorch's process; `float` waits for its loss."""

    def __init__(self, pipe: Connection):
        self._pipe = pipe

    def __float__(self) -> float:
        return ask(self._pipe, "wait")


def ask(pipe: Connection, *order: Any) -> Any:
    pipe.send(order)
    return pipe.recv()


@contextlib.contextmanager
def peer_process(*arguments: Any) -> Iterator[Connection]:
    """The pipe to a process that runs `serve` with these arguments."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, *arguments))
    process.start()
    there.close()
    try:
        yield here
    finally:
        here.close()
        process.join()


def check_equal(
    model: SasRec, schema: Schema, parameters: task.Parameters, pipe: Connection, batch: np.ndarray
) -> None:
    """Raises AssertionError where the two losses of a batch differ, dropout left out."""
    key = jax.random.key(7)
    columns = {"item": jax.numpy.asarray(batch)}
    lookups = model.lookups(schema, columns, key)
    rows = {
        name: EmbeddedRows(parameters[each.path][each.ids], each.ids)
        for name, each in lookups.items()
    }
    module = task.merge(task.structure(model, schema), parameters)
    ours, _, _ = model.loss(module, columns, rows, task.SERVING)
    drawn = np.asarray(lookups["negatives"].ids) if "negatives" in lookups else batch[:, :1]
    theirs = ask(pipe, "loss", batch, drawn)
    print(f"  loss of one batch: {float(ours):.6f} here, {theirs:.6f} in PyTorch")
    tolerance = 1e-3 if device() == "cuda" else 1e-4  # TF32 has a mantissa of 10 bits
    assert abs(float(ours) - theirs) <= tolerance * abs(theirs), (float(ours), theirs)


def compare(width: int, name: str, options: argparse.Namespace) -> None:
    """Prints the times of one model."""
    model = SasRec(width=width, max_length=options.length, objective=OBJECTIVES[name])
    items = options.items + FIRST_VALUE
    schema = Schema((Feature("item", "item", "int32", True, "item", items, 1000),))
    experiment = config.Experiment(
        name="benchmark",
        data=config.Data(name="random", path="none"),
        model=model,
        optimizer=AdamW(warmup_steps=0, final_fraction=1.0),
        trainer=config.Trainer(batch_size=options.batch, precision=options.precision),
    )
    program = build_program(experiment, schema, mesh.build(config.Mesh()))
    state = program.initialize()
    kinds = ("eager", "compiled", *(["graphs"] if options.graphs else []))
    generator = np.random.default_rng(0)
    print(
        f"SASRec, {name}, width {width}, batch {options.batch} × {options.length},"
        f" {options.precision}, {jax.devices()[0].device_kind}:"
    )

    def ours(batch: Mapping[str, jax.Array]) -> jax.Array:
        nonlocal state
        state, metrics = program.step(state, batch)
        return metrics["loss"]

    parameters = {path: np.asarray(value) for path, value in state["parameters"].items()}
    with peer_process(model, items, parameters, kinds, options.precision, device()) as pipe:
        few = generator.integers(FIRST_VALUE, items, (8, options.length + 1)).astype(np.int32)
        check_equal(model, schema, state["parameters"], pipe, few)

        def theirs(kind: str) -> Dispatched:
            pipe.send((kind,))
            return Dispatched(pipe)

        def inputs() -> dict[str, tuple[Any, ...]]:
            shape = (options.batch, options.length + 1)
            item = generator.integers(FIRST_VALUE, items, shape).astype(np.int32)
            drawn = generator.integers(FIRST_VALUE, items, (options.batch, 256))
            ask(pipe, "batch", item, drawn)
            return {f"torch {kind}": (kind,) for kind in kinds} | {
                "podway": (program.place({"item": item}),)
            }

        steps: dict[str, Step] = {"podway": ours} | {f"torch {kind}": theirs for kind in kinds}
        times = timing.taking_turns(steps, inputs, rounds=options.rounds, steps=options.steps)
    base = np.median(times["podway"])
    peak = hardware.peak_flops(jax.devices()[0])
    for kind, found in times.items():
        seconds = float(np.median(found))
        print(
            f"  {kind:15} {1e3 * seconds:8.2f} ms/step   ×{seconds / base:.2f}"
            f"   {program.flops / seconds / 1e12:7.2f} TFLOP/s"
            f"   MFU {100 * program.flops / seconds / peak:5.1f} %",
            flush=True,
        )


def device() -> str:
    """What PyTorch calls the kind of device that JAX uses."""
    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def main() -> None:
    """Prints a paragraph per objective and width."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, nargs="+", default=[64])
    parser.add_argument("--objective", nargs="+", choices=OBJECTIVES, default=list(OBJECTIVES))
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--items", type=int, default=3416)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1, help="steps a round, dispatched ahead")
    parser.add_argument("--graphs", action="store_true", help="torch.compile with CUDA graphs, too")
    options = parser.parse_args()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a GPU's memory is shared
    allocator.reuse()
    for width in options.width:
        for name in options.objective:
            compare(width, name, options)


if __name__ == "__main__":
    main()
