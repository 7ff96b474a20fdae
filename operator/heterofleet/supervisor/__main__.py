"""The entrance: `python3 FOLDER -- COMMAND` runs a rank, `python3 FOLDER download …` brings a model."""

import importlib
import sys
from pathlib import Path

# Python runs a folder's __main__.py outside of any package; naming the folder as one gives its modules their names.
# The path is not resolved: a ConfigMap's files are links into a folder whose name is a date.
FOLDER = Path(__file__).absolute().parent
sys.path[0] = str(FOLDER.parent)


def run() -> int:
    task, *arguments = sys.argv[1:] or [""]
    if task == "download":
        return int(importlib.import_module(f"{FOLDER.name}.download").main(arguments))
    if task == "--" and arguments:
        return int(importlib.import_module(f"{FOLDER.name}.life").main(arguments))
    sys.stderr.write("usage: supervisor -- COMMAND...\n")
    return 64


sys.exit(run())
