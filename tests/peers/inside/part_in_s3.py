"""Does what falls to a part of a workspace in S3, in a folder of this process alone."""

import sys

import tawt

url, raw, w, part = sys.argv[1:]
if part == "prepare":
    tawt.ingest(raw, "demo", w, settings=("shards=2",), prepare=True, store=url, threads=1, memory_limit="1GB")
else:
    tawt.run("+dataset", w, store=url, raw=raw, part=part, wait="3m", threads=1, memory_limit="1GB")
