"""Generates the committed stubs from the protos, and checks protos and stubs. Works without a network.

    python protos/generate.py            write the stubs
    python protos/generate.py --check    fail when writing them would change anything
    python protos/generate.py --lint     buf lint, and buf breaking against the released contract (v1.binpb)
    python protos/generate.py --release  take the present contract as released: its fields never change then

`buf/validate/validate.proto` is not in the tree: its descriptor is inside the committed `validate_pb2`, and
both protoc and buf take descriptors.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor

HERE = Path(__file__).resolve().parent
RELEASED = HERE / "v1.binpb"
BIN = Path(sys.executable).parent
PLUGINS = {"mypy": BIN / "protoc-gen-mypy", "mypy_grpc": BIN / "protoc-gen-mypy_grpc"}


def sources() -> list[str]:
    """Our proto files, relative to this folder."""
    return sorted(str(path.relative_to(HERE)) for path in HERE.rglob("*.proto") if "build" not in path.parts)


def imported_descriptors() -> descriptor_pb2.FileDescriptorSet:
    """validate.proto and everything that it and our files import, dependencies first."""
    from buf.validate import validate_pb2
    from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2

    found = descriptor_pb2.FileDescriptorSet()
    names: set[str] = set()

    def add(file: FileDescriptor) -> None:
        for dependency in file.dependencies:
            add(dependency)
        if file.name not in names:
            names.add(file.name)
            file.CopyToProto(found.file.add())

    for module in (validate_pb2, duration_pb2, struct_pb2, timestamp_pb2):
        add(module.DESCRIPTOR)
    return found


def protoc(*arguments: str) -> None:
    """Runs protoc; its message and exit status 1 when it fails."""
    import grpc_tools
    from grpc_tools import protoc as tool

    well_known = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.NamedTemporaryFile(suffix=".binpb") as descriptors:
        descriptors.write(imported_descriptors().SerializeToString())
        descriptors.flush()
        command = [
            "protoc",
            f"--proto_path={HERE}",
            f"--proto_path={well_known}",
            f"--descriptor_set_in={descriptors.name}",
        ]
        if tool.main([*command, *arguments, *sources()]) != 0:
            sys.exit(1)


def write_stubs(folder: Path) -> None:
    """Writes every stub under `folder`."""
    plugins = [f"--plugin=protoc-gen-{name}={path}" for name, path in PLUGINS.items()]
    outputs = [f"--{name}_out={folder}" for name in ("python", "grpc_python", "mypy", "mypy_grpc")]
    protoc(*plugins, *outputs)


def stubs_of(folder: Path) -> dict[str, bytes]:
    """Generated files of our protos under `folder`, by relative path."""
    stems = [source.removesuffix(".proto") for source in sources()]
    endings = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
    paths = [folder / f"{stem}{ending}" for stem in stems for ending in endings]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.exists()}


def check() -> int:
    """1, with the names, when a committed stub differs from what its proto gives."""
    with tempfile.TemporaryDirectory() as folder:
        write_stubs(Path(folder))
        fresh, committed = stubs_of(Path(folder)), stubs_of(HERE)
    stale = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    for name in stale:
        print(f"{name} is not what its proto gives: run `make stubs` and commit what changed")
    return 1 if stale else 0


def image(path: Path) -> None:
    """Writes the contract with its imports and comments as a file that buf reads."""
    protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={path}")


def lint() -> int:
    """buf lint on our files, and buf breaking against the released contract."""
    with tempfile.TemporaryDirectory() as folder:
        present = Path(folder) / "present.binpb"
        image(present)
        ours = [part for folder_ in ("boarfish", "inference") for part in ("--path", folder_)]
        config = ["--config", str(HERE / "buf.yaml")]
        linted = _buf("lint", str(present), *config, *ours)
        broken = _buf("breaking", str(present), "--against", str(RELEASED), *config, *ours)
    return max(linted, broken)


def _buf(*arguments: str) -> int:
    return subprocess.run([BIN / "buf", *arguments], check=False).returncode


def main() -> int:
    """Does what the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="fail when the committed stubs are stale")
    choice.add_argument("--lint", action="store_true", help="buf lint and buf breaking")
    choice.add_argument(
        "--release", action="store_true", help="take the present contract as the released one"
    )
    arguments = parser.parse_args()
    if arguments.check:
        return check()
    if arguments.lint:
        return lint()
    if arguments.release:
        image(RELEASED)
        return 0
    write_stubs(HERE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
