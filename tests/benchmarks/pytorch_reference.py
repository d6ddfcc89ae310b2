#!/usr/bin/env python3
"""The other side of the comparisons: a network in PyTorch, one training step at a time.

    torchrun --nproc-per-node 2 tests/benchmarks/pytorch_reference.py --batch 16 --size 64
    python3 tests/benchmarks/pytorch_reference.py --network densenet121 --batch 16 --size 96 --threads 2

Under torchrun it is wrapped in DistributedDataParallel over Gloo; alone it is plain eager PyTorch.

Rank 0 prints one JSON line with the same keys as train_bench: median and minimum time of a step, samples per second of all
ranks together, and the largest peak resident memory of a rank.
"""

import argparse
import json
import os
import statistics
import sys
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
import pytorch_networks

NUM_CLASSES = 1000


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet18", help="one that pytorch_networks.py knows")
    parser.add_argument("--batch", type=int, default=16, help="images per rank")
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels")
    parser.add_argument("--steps", type=int, default=20, help="measured steps")
    parser.add_argument("--warmup", type=int, default=3, help="steps before the measured ones")
    parser.add_argument("--threads", type=int, default=1, help="threads per rank")
    parser.add_argument("--channels-last", type=int, default=1, choices=(0, 1), help="memory format")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    return parser.parse_args()


def peak_memory_kib():
    """Peak resident memory of this process. The kernel's own mark: ru_maxrss may be inherited from the launcher."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def main():
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if ranks > 1:
        dist.init_process_group("gloo")
    torch.manual_seed(1)
    model = pytorch_networks.make(options.network, NUM_CLASSES)
    generator = torch.Generator().manual_seed(10 + rank)
    images = torch.randn(options.batch, 3, options.size, options.size, generator=generator)
    classes = torch.randint(NUM_CLASSES, (options.batch,), generator=generator)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    if ranks > 1:
        model = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    times_ms = []
    for step in range(options.warmup + options.steps):
        if ranks > 1:
            dist.barrier()
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=ranks == 1)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            loss = F.cross_entropy(model(images), classes)
        loss.backward()
        optimizer.step()
        if step >= options.warmup:
            times_ms.append((time.perf_counter() - start) * 1e3)

    peak = torch.tensor([peak_memory_kib()])
    if ranks > 1:
        dist.all_reduce(peak, op=dist.ReduceOp.MAX)
    if rank == 0:
        median = statistics.median(times_ms)
        result = {
            "config": "pytorch",
            "network": options.network,
            "ranks": ranks,
            "batch_per_rank": options.batch,
            "size": options.size,
            "channels_last": bool(options.channels_last),
            "precision": options.precision,
            "median_ms": median,
            "min_ms": min(times_ms),
            "samples_per_s": options.batch * ranks / median * 1e3,
            "peak_rss_mb": peak.item() / 1024,
            "loss": loss.item(),
        }
        print(json.dumps(result), flush=True)
    if ranks > 1:
        # Not through the destructors: gloo's can wait for a thread that waits for the interpreter's lock.
        dist.barrier()
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
