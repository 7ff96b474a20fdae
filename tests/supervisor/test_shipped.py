"""What is mounted into the unmodified engine image runs there: old Python, nothing installed, small enough."""

import ast
import sys
from pathlib import Path

import pytest

import heterofleet.supervisor

FILES = sorted(Path(heterofleet.supervisor.__file__).parent.glob("*.py"))
CONFIG_MAP_BYTES = 900_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_shipped_file_is_python_3_9_and_imports_the_standard_library_only(path: Path):
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    imported = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {
        str(node.module).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not node.level
    }
    assert imported <= sys.stdlib_module_names


def test_the_files_fit_into_a_config_map():
    assert FILES
    assert sum(path.stat().st_size for path in FILES) < CONFIG_MAP_BYTES
