"""Puts the dataset of a workspace into S3, and trains two steps on it there and here."""

import sys
from pathlib import Path

import s3fs

import tawt

here, there = map(Path, sys.argv[1:])
store = s3fs.S3FileSystem()
store.mkdir("bucket")
for folder in ("dataset", "vocabulary"):
    store.put(str(here / folder), f"bucket/hospital/{folder}", recursive=True)
tawt.fetch("s3://bucket/hospital", there)
few = ("model.d_model=16", "model.n_layers=1", "model.n_heads=2", "model.d_ffn=16", "train.max_steps=2")
for workspace in (here, there):
    tawt.pretrain(workspace, "pretrain_small", device="cpu", settings=few, out=workspace / "runs" / "r")
