"""The index of a data set: one line a sample, which says where its bytes are and what they hash to."""

import json
from dataclasses import dataclass

NAME = "index.jsonl"


@dataclass(frozen=True)
class Sample:
    name: str
    shard: str
    offset: int
    """Of its first byte in the shard."""
    length: int
    blake3: str


def samples(text):
    """Every sample of an index."""
    lines = map(json.loads, text.splitlines())
    return [Sample(line["sample"], line["shard"], line["offset"], line["length"], line["blake3"]) for line in lines]
