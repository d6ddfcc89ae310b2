"""20 steps of torchvision's ResNet-18 in PyTorch: one process for one shard, DistributedDataParallel over gloo for more.

Cases hold `model.*` (start weights), `images` [S, B, 3, H, W] and `targets` [S, B]; answers hold `model.*` and `losses` [S].
"""

import os
import sys
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torchvision

from exchange import answer_all


def train(rank, world, tensors, settings, store, results):
    torch.set_num_threads(1)
    images, targets = tensors["images"], tensors["targets"]
    network = torchvision.models.resnet18(num_classes=int(targets.max()) + 1 if "classes" not in settings else settings["classes"])
    network.to(images.dtype)
    network.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    model = network
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
        model = torch.nn.parallel.DistributedDataParallel(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=settings["lr"], momentum=0.9, weight_decay=1e-4)
    network.train()
    losses = []
    batch = images.shape[1]
    mine = slice(batch * rank // world, batch * (rank + 1) // world)
    for step_images, step_targets in zip(images, targets):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(step_images[mine]), step_targets[mine])
        loss.backward()
        optimizer.step()
        total = loss.detach().double()
        if world > 1:
            dist.all_reduce(total)
        losses.append(total.item() / world)
    if rank == 0:
        answer = {f"model.{name}": value for name, value in network.state_dict().items()}
        answer["losses"] = torch.tensor(losses, dtype=torch.float64)
        torch.save(answer, results)
    if world > 1:
        # Not through the destructors: gloo's can wait for a thread that waits for the interpreter's lock.
        dist.barrier()
        sys.stdout.flush()
        os._exit(0)


def answer(tensors, settings):
    world = settings["shards"]
    with tempfile.TemporaryDirectory() as directory:
        store, results = os.path.join(directory, "store"), os.path.join(directory, "results.pt")
        if world == 1:
            train(0, 1, tensors, settings, store, results)
        else:
            mp.spawn(train, args=(world, tensors, settings, store, results), nprocs=world)
        return torch.load(results, weights_only=True)


if __name__ == "__main__":
    answer_all(answer)
