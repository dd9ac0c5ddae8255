"""docs/notebooks/, run from the first cell to the last, as a reader would."""

import json
import pathlib
import subprocess
import sys

import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))

RUN = """
import json, sys
cells = json.load(open(sys.argv[1]))["cells"]
names = {"__name__": "__main__"}
for number, cell in enumerate(cells):
    if cell["cell_type"] == "code":
        print(f"cell {number}", flush=True)
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
"""


def test_there_are_notebooks_and_they_hold_no_output():
    assert {path.stem for path in NOTEBOOKS} == {"labels", "recommend"}
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs"), f"{path}: clear the output of {cell['id']}"


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(notebook, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:podway", "-c", RUN, str(notebook)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert {path.name for path in tmp_path.iterdir()} == {"w"}
