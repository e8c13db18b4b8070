"""Write a table to a store through fsspec and read a part of it back.

python labels.py s3dlio+s3://bucket/labels
"""

from __future__ import annotations

import sys

import fsspec


def main(folder: str) -> None:
    lines = [f"{number:05},{number % 10}\n" for number in range(1000)]
    with fsspec.open(f"{folder}/labels.csv", "w") as file:
        file.writelines(lines)
    files, (path,) = fsspec.url_to_fs(folder)[0], [f"{folder}/labels.csv"]
    print(f"{files.size(path)} bytes; the last line is {files.tail(path, len(lines[-1])).decode().strip()}")


if __name__ == "__main__":
    main(sys.argv[1])
