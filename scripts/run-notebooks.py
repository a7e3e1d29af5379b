"""Executes notebooks, each in a kernel of its own, and keeps copies with their outputs in the folder OUT.

Fails if a cell fails, if a notebook has no code, or if it was saved with outputs: those are not for the repository.
Usage: run-notebooks.py OUT NOTEBOOK...
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

# Seconds for one cell: a cell that hangs ends the run.
CELL_TIMEOUT = 120


def run(path: Path, out: Path) -> str:
    """Executes a notebook; returns what is wrong with it, or nothing."""
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if not cells:
        return "it has no code to run"
    if any(cell.outputs or cell.execution_count is not None for cell in cells):
        return "it was saved with outputs: clear them"
    try:
        NotebookClient(notebook, timeout=CELL_TIMEOUT, resources={"metadata": {"path": path.parent}}).execute()
    except CellExecutionError as err:
        return f"{err.ename}: {err.evalue}"
    finally:
        nbformat.write(notebook, out / path.name)
    ran = sum(cell.execution_count is not None for cell in cells)
    if ran < len(cells):
        return f"only {ran} of {len(cells)} cells ran"
    print(f"{path.name}: {ran} cells ran")
    return ""


def main(out: Path, paths: list[Path]) -> int:
    problems = {path: problem for path in paths if (problem := run(path, out))}
    for path, problem in problems.items():
        print(f"{path}: {problem}", file=sys.stderr)
    print(f"{len(paths) - len(problems)} passed, {len(problems)} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
