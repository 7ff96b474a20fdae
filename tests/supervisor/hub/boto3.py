"""Stands in for the AWS library: the folder FAKE_HUB is the store, its folders are buckets."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Client:
    def __init__(self) -> None:
        self._root = Path(os.environ["FAKE_HUB"])

    def get_paginator(self, operation: str) -> "Client":
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **query: str) -> Iterator[dict[str, Any]]:
        bucket = self._root / query["Bucket"]
        for path in sorted(path for path in bucket.rglob("*") if path.is_file()):
            key = str(path.relative_to(bucket))
            if key.startswith(query["Prefix"]):
                yield {"Contents": [{"Key": key, "Size": path.stat().st_size, "ETag": f'"{path.stat().st_size:x}"'}]}

    def download_file(self, bucket: str, key: str, target: str) -> None:
        with (self._root / "log").open("a") as log:
            log.write(f"{key}\n")
        shutil.copy(self._root / bucket / key, target)


def client(service: str) -> Client:
    assert service == "s3"
    return Client()
