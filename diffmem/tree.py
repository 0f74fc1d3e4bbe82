"""A folder in which files are made, changed and removed, and nothing outside it: no link below it is followed.

Each part of a path is opened by itself, from the handle of the folder it lies in, so a link put there at any moment is
an error and never a way out. What is written whole is written beside its place, flushed to the disk and renamed, so a
reader sees the old file or the new one, and a killed writer leaves neither half.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from diffmem.errors import InputError

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # of a disk without second names
OTHER_KIND = (errno.ELOOP, errno.EMLINK, errno.ENOTDIR, errno.EISDIR)  # what systems say of links and wrong kinds


@dataclass(frozen=True)
class Tree:
    """The folder `root`, which may itself be reached through links. All paths given lie below it.

    Raises InputError where a part of a path below `root` is a link or of another kind than belongs there, OSError
    where the disk does not take a file.
    """

    root: Path

    def write(self, path: Path, content: bytes, *, durable: bool = True) -> None:
        """Write `content` at `path`, whole or not at all. A link at `path` itself is replaced."""
        beside = f".{path.name}.{os.getpid()}"
        with self._folder(path.parent, make=True) as folder:
            try:
                _remove(beside, folder)
                made = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
                with os.fdopen(made, "wb") as file:
                    file.write(content)
                    if durable:
                        file.flush()
                        os.fsync(file.fileno())
                with _named(path):
                    os.replace(beside, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    _remove(beside, folder)
                raise
            if durable:
                os.fsync(folder)

    def create(self, path: Path, content: bytes) -> bool:
        """Write `content` at `path` whole, as the only one who does; False where something stands there."""
        beside = f".{path.name}.{secrets.randbelow(10**15)}"  # other machines have processes of the same number
        with self._folder(path.parent, make=True) as folder:
            made = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
            try:
                with os.fdopen(made, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                    created = _link(beside, path.name, folder) or os.fstat(file.fileno()).st_nlink > 1
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                created = _create(path.name, content, folder)
            finally:
                _remove(beside, folder)
            os.fsync(folder)
        return created

    def append(self, path: Path, line: bytes) -> None:
        """Add `line` and flush it. A torn line before it is cut off; one that was not written whole is taken back."""
        with self.open(path) as file:
            end = file.readall().rfind(b"\n") + 1
            try:
                file.truncate(end)
                file.seek(end)
                while line:
                    line = line[file.write(line) :]
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(end)
                raise
        with self._folder(path.parent) as folder:
            os.fsync(folder)

    @contextlib.contextmanager
    def open(self, path: Path) -> Iterator[FileIO]:
        """The file `path`, made if need be, to be read and changed in place; it must have no other name."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW
        with self._folder(path.parent, make=True) as folder, _named(path):
            handle = os.open(path.name, flags, 0o666, dir_fd=folder)
        with FileIO(handle, "r+") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                raise InputError(f"{path} is a pipe or a second name of another file: move it away.")
            yield file

    def names(self, path: Path) -> list[str]:
        """What lies in the folder `path`; nothing where there is none."""
        try:
            with self._folder(path) as folder:
                return os.listdir(folder)
        except FileNotFoundError:
            return []

    def remove(self, path: Path) -> None:
        """Remove the file or the folder `path`. What a link in it leads to stays."""
        with self._folder(path.parent) as folder:
            _remove(path.name, folder)

    def move(self, path: Path, other: Path) -> None:
        """Give the file or folder `path` the place `other`, where nothing stands."""
        with self._folder(path.parent) as folder, self._folder(other.parent, make=True) as target:
            os.rename(path.name, other.name, src_dir_fd=folder, dst_dir_fd=target)
            os.fsync(target)
            os.fsync(folder)

    @contextlib.contextmanager
    def replacing(self, path: Path) -> Iterator[Path]:
        """A fresh folder to fill, which becomes `path` when the block ends well and is removed when it does not."""
        beside = path.with_name(f".{path.name}")
        with self._folder(path.parent, make=True) as folder:
            _remove(beside.name, folder)
            os.mkdir(beside.name, dir_fd=folder)
            try:
                yield beside
                for entry in [*beside.rglob("*"), beside]:
                    _sync(entry)
                _remove(path.name, folder)
                os.rename(beside.name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    _remove(beside.name, folder)
                raise
            os.fsync(folder)

    @contextlib.contextmanager
    def _folder(self, path: Path, *, make: bool = False) -> Iterator[int]:
        """A handle of the folder `path`."""
        if make:
            self.root.mkdir(parents=True, exist_ok=True)
        place = self.root
        handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in path.relative_to(self.root).parts:
                place /= part
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=handle)
                with _named(place):
                    inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """A sentence for what stands at `path` where it is not of the kind that belongs there."""
    try:
        yield
    except OSError as error:
        if error.errno not in OTHER_KIND:
            raise
        kind = "a symbolic link" if path.is_symlink() else "a folder" if path.is_dir() else "no folder"
        raise InputError(f"{path} is {kind}, and nothing is written through it or over it: move it away.") from error


def _link(name: str, other: str, folder: int) -> bool:
    """Give a file a second name; False where that is taken, as NFS says when it asks twice, or the file is gone."""
    try:
        os.link(name, other, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except (FileExistsError, FileNotFoundError):
        return False
    return True


def _create(name: str, content: bytes, folder: int) -> bool:
    try:
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return True


def _remove(name: str, folder: int) -> None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        shutil.rmtree(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
