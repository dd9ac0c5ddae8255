"""Several models at the start: how many are loaded at once."""

import os
import shutil
import time

import pytest

from podway.export import layout
from tests.export.server.conftest import running


@pytest.mark.parametrize("threads", [1, 2])
def test_so_many_are_loaded_at_once(site, threads):
    """A load goes on when its model's manifest, a pipe, has been opened by this test, too."""
    waiting, entries = {}, []
    for name in ("a", "b", "c"):
        folder = site.root / name / "1"
        shutil.copytree(site.library[1], folder)
        waiting[name] = folder / layout.MANIFEST
        waiting[name].parent.mkdir(exist_ok=True)
        os.mkfifo(waiting[name])
        entries.append(
            f'config {{ name: "{name}" base_path: "{folder.parent}" model_platform: "tensorflow" }}'
        )
    site.config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    with running(site, num_load_threads=threads) as client:
        while waiting:
            opened: dict[str, int] = {}
            end = time.monotonic() + 30
            while len(opened) < min(threads, len(waiting)):
                assert time.monotonic() < end
                for name in waiting.keys() - opened.keys():
                    try:  # fails unless a load has opened it to read
                        opened[name] = os.open(waiting[name], os.O_WRONLY | os.O_NONBLOCK)
                    except OSError:
                        time.sleep(0.01)
            time.sleep(0.2)
            for name in waiting.keys() - opened.keys():  # no further one
                with pytest.raises(OSError, match="No such device"):
                    os.open(waiting[name], os.O_WRONLY | os.O_NONBLOCK)
            for name, pipe in opened.items():
                del waiting[name]
                os.write(pipe, b"{}")
                os.close(pipe)
        client.wait_for(lambda: client.rest("/readyz")[0] == 200)
