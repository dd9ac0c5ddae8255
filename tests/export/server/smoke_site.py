"""Writes the models and the config that the contract tests want of a server: python -m … FOLDER."""

import pathlib
import sys

from tests.export.server.conftest import lay_out, write_model


def main() -> None:
    root = pathlib.Path(sys.argv[1])
    library = {version: root / "library" / str(version) for version in (1, 2)}
    for version, directory in library.items():
        write_model(directory, version)
    lay_out(root, library)


if __name__ == "__main__":
    main()
