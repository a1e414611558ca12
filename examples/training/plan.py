"""Which worker reads what, and in which order. All of it follows from the seed: the same seed, the same job."""

import random
from collections import defaultdict
from dataclasses import dataclass

# Single samples that a worker is told of at a time; the order within and between is shuffled all the same.
BATCH = 64


@dataclass(frozen=True)
class Task:
    way: str
    samples: list
    seed: int


def epoch(samples, ways, workers, seed, number):
    """The tasks of each worker in one epoch: every sample once in each way."""
    dice = random.Random(f"{seed}, epoch {number}")
    parts = [[] for _ in range(workers)]
    for way in ways:
        tasks = by_shard(samples) if way == "shards" else in_batches(samples, dice)
        dice.shuffle(tasks)
        for at, task in enumerate(tasks):
            parts[at % workers].append(Task(way, task, dice.getrandbits(32)))
    for part in parts:
        dice.shuffle(part)
    return parts


def by_shard(samples):
    shards = defaultdict(list)
    for sample in samples:
        shards[sample.shard].append(sample)
    return list(shards.values())


def in_batches(samples, dice):
    shuffled = dice.sample(samples, len(samples))
    return [shuffled[at : at + BATCH] for at in range(0, len(shuffled), BATCH)]
