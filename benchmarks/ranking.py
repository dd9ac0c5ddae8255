"""Ranking a large catalogue by dot products: in blocks, and all scores at once.

usage: python -m benchmarks.ranking [--users 1000] [--items 100000] [--width 64] [--block 16384]
           [--batch 500] [--k 20] [--seen 50] [--skip-whole]

Prints the seconds for the top k and the targets' ranks of all users, seen items filtered, both ways
(the ratio is that of the same run), and the memory that each takes beside its inputs, as the
compiled program says. Each way runs in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from podway.framework.metrics import top_k
from podway.framework.schema.schema import FIRST_VALUE


def measure(options: argparse.Namespace) -> dict[str, float]:
    generator = np.random.default_rng(0)
    rows = options.items + FIRST_VALUE
    table = jnp.asarray(generator.normal(size=(rows, options.width)).astype(np.float32))
    shape = (options.users, options.width)
    query = generator.normal(size=shape).astype(np.float32)
    seen = generator.integers(FIRST_VALUE, rows, (options.users, options.seen), dtype=np.int32)
    target = generator.integers(FIRST_VALUE, rows, options.users, dtype=np.int32)

    @jax.jit
    def blocked(query, table, seen, target):
        factors = top_k.Factors(query, table)
        best, ids = top_k.blocked_top_k(factors, options.k, options.block, seen, rows)
        return best, ids, top_k.blocked_rank(factors, target, options.block, seen, rows)

    @jax.jit
    def whole(query, table, seen, target):
        allowed = top_k.exclude(jnp.matmul(query, table.T), seen, rows)
        return *top_k.top_k(allowed, options.k), top_k.rank(allowed, target)

    rank = blocked if options.way == "blocked" else whole
    starts = range(0, options.users, options.batch)
    parts = [slice(start, start + options.batch) for start in starts]
    compiled = rank.lower(query[parts[0]], table, seen[parts[0]], target[parts[0]]).compile()
    began = time.perf_counter()
    found = [compiled(query[part], table, seen[part], target[part]) for part in parts]
    ranks = np.concatenate([np.asarray(each[2]) for each in found])
    seconds = time.perf_counter() - began
    memory = compiled.memory_analysis()
    assert memory is not None
    gigabytes = memory.temp_size_in_bytes / 1e9
    return {"seconds": seconds, "gigabytes": gigabytes, "mean_rank": float(ranks.mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=1000, help="a multiple of --batch")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--block", type=int, default=16_384, help="items scored at a time")
    parser.add_argument("--batch", type=int, default=500, help="users ranked at a time")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--seen", type=int, default=50, help="items of each user's history")
    parser.add_argument("--skip-whole", action="store_true")
    parser.add_argument("--way", choices=("blocked", "whole"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.users % options.batch:
        parser.error(f"--users {options.users} is no multiple of --batch {options.batch}")
    if options.way:
        print(json.dumps(measure(options)))
        return
    print(f"{options.users:,} users × {options.items:,} items × {options.width}, {jax.devices()}")
    results = {}
    for way in ("blocked", *(() if options.skip_whole else ("whole",))):
        command = [sys.executable, "-m", "benchmarks.ranking", *sys.argv[1:], "--way", way]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results[way] = json.loads(done.stdout)
        print(
            f"{way:<8} {results[way]['seconds']:8.2f} s, {results[way]['gigabytes']:.3f} GB beside"
            f" the inputs, mean rank {results[way]['mean_rank']:.1f}"
        )
    if len(results) == 2:
        ratio = results["blocked"]["seconds"] / results["whole"]["seconds"]
        print(f"blocked takes {ratio:.2f} times as long as all scores at once")


if __name__ == "__main__":
    main()
