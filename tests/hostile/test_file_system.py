"""Links, pipes, predictable names, permissions and file systems without locks: what an untrusted folder can do."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.indexer.build.checkpoint import Batch, Parts
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.prompts import shots
from imindex.indexer.generate.release_folder import MANIFEST, Folder, locked
from imindex.indexer.maintain.optimize import optimize
from imindex.indexer.maintain.remove import remove
from imindex.indexer.store.index import Index
from imindex.indexer.system import atomic
from imindex.indexer.system.atomic import SUFFIX, clear_folder, clear_leftovers, put_in_place, write_file
from imindex.indexer.system.input_files import read_text, refuse_special_files
from imindex.indexer.system.locks import Lock, alone
from tests.support.approximate import INFO, clustered, contents, save
from tests.support.commands import run
from tests.support.pictures import picture
from tests.support.places import child_environment

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
PRECIOUS = b"a file of the user\n"
KEEPER = 16 * "0"


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file outside the attacked folder, which must keep its content and its permissions."""
    path = tmp_path / "home" / "precious"
    path.parent.mkdir()
    path.write_bytes(PRECIOUS)
    path.chmod(0o640)
    yield path
    assert path.read_bytes() == PRECIOUS
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [file.name for file in path.parent.iterdir()] == ["precious"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The folder that a stranger sent."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    return folder


@contextmanager
def limited(seconds: float = 20) -> Iterator[None]:
    """Fail instead of waiting for a pipe forever."""

    def expired(*_: object) -> None:
        raise AssertionError("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def batch() -> Batch:
    return Batch([bytes(range(32))], [np.zeros(INFO.dim, np.float16)], [(1, 1)])


# Locks and folders


def build_locked(folder: Path) -> None:
    with Parts(folder / "i.h5", INFO) as parts:
        parts.append(batch())


def generate_locked(folder: Path) -> None:
    with locked(folder / "out"):
        pass


LOCKED = {
    "build": (build_locked, "i.h5.parts", "lock"),
    "generate": (generate_locked, "out", ".lock"),
    "alone": (lambda folder: alone(folder / "x/lock", "").__enter__(), "x", "lock"),
}


@pytest.mark.parametrize("command", LOCKED)
@pytest.mark.parametrize("how", ["symlink", "hardlink", "fifo", "folder", "socket"])
def test_a_lock_is_a_regular_file_with_one_name(command: str, how: str, bundle: Path, victim: Path) -> None:
    acquire, folder, name = LOCKED[command]
    lock = bundle / folder / name
    lock.parent.mkdir()
    match how:
        case "symlink":
            lock.symlink_to(victim)
        case "hardlink":
            lock.hardlink_to(victim)
        case "fifo":
            os.mkfifo(lock)
        case "folder":
            lock.mkdir()
        case "socket":
            bound = socket.socket(socket.AF_UNIX)
            bound.bind(os.path.relpath(lock))  # the name of a socket is short
            bound.close()
    with limited(), pytest.raises(ImindexError, match=rf"{name} (is|has) .*Delete it"):
        acquire(bundle)


@pytest.mark.parametrize("command", LOCKED)
@pytest.mark.parametrize("dangling", [True, False])
def test_a_folder_with_a_lock_is_no_link(command: str, dangling: bool, bundle: Path, tmp_path: Path) -> None:
    acquire, folder, _ = LOCKED[command]
    elsewhere = tmp_path / "elsewhere"
    if not dangling:
        elsewhere.mkdir()
        (elsewhere / "encoder.json").write_text("mine")
        (elsewhere / f".x.{KEEPER}{SUFFIX}").write_text("mine")
    (bundle / folder).symlink_to(elsewhere)
    with pytest.raises(ImindexError, match="is a symbolic link to"):
        acquire(bundle)
    assert elsewhere.exists() is not dangling
    assert dangling or len(list(elsewhere.iterdir())) == 2


def test_the_record_of_a_holder_is_not_read_from_a_pipe(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imindex.indexer.system import locks

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", unsupported)
    os.mkfifo(bundle / "lock.held")
    with limited(), pytest.raises(ImindexError, match="another process"), alone(bundle / "lock", "{by}"):
        pass


def test_a_finished_build_deletes_only_its_own_files(bundle: Path) -> None:
    parts = bundle / "i.h5.parts"
    (parts / "thesis").mkdir(parents=True)
    (parts / "thesis/chapter.txt").write_text("mine")
    (parts / "part-notes.npz").write_text("mine")
    with Parts(bundle / "i.h5", INFO):
        pass
    assert sorted(path.name for path in parts.rglob("*")) == ["chapter.txt", "part-notes.npz", "thesis"]


# Temporary names


def predicted(path: Path) -> Path:
    """The name that earlier versions gave the temporary file of a path in this process."""
    return path.with_name(f".{path.name}.{os.getpid()}.new")


WRITTEN: dict[str, Callable[[Path, Path], Any]] = {
    "i.h5": lambda folder, index: remove(index, artists=["artist 1"]),
    "optimized.h5": lambda folder, index: optimize(
        shutil.copy(index, folder / "optimized.h5"), kind="ivf", recall=0.3, memory=10**8
    ),
    "i.h5.seal.json": lambda folder, index: run("seal", "-i", index),
    "vectors.npy": lambda folder, index: run("export", "-i", index, folder),
    "items.parquet": lambda folder, index: run("export", "-i", index, folder),
    "index.json": lambda folder, index: run("export", "-i", index, folder),
    "plan.toml": lambda folder, index: run("audit", "init", folder / "plan.toml"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_temporary_names_cannot_be_planted(name: str, bundle: Path, victim: Path) -> None:
    index = save(bundle / "i.h5", clustered(1_200))
    predicted(bundle / name).symlink_to(victim)
    WRITTEN[name](bundle, index)
    assert (bundle / name).is_file() and not (bundle / name).is_symlink()


@pytest.mark.parametrize("how", ["symlink", "hardlink"])
def test_an_existing_temporary_file_is_not_opened(
    how: str, bundle: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a random name guessed, the exclusive creation would refuse it."""
    monkeypatch.setattr(atomic.secrets, "token_hex", lambda n: "0" * 2 * n)
    planted = bundle / f".x.{KEEPER}{SUFFIX}"
    planted.symlink_to(victim) if how == "symlink" else planted.hardlink_to(victim)
    with pytest.raises(FileExistsError):
        write_file(bundle / "x", b"content")
    assert not (bundle / "x").exists()


def test_writers_use_the_file_that_was_created(bundle: Path, victim: Path) -> None:
    """An index is written into the file that is open, even if its name is another file by then."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    import h5py

    with put_in_place(bundle / "x.h5") as file:
        name = Path(str(file.name))
        name.rename(bundle / "moved")
        name.symlink_to(victim)
        with h5py.File(atomic.path_of_open_file(file), "w") as written:
            written["a"] = [1, 2, 3]
        file.seek(0)
        assert file.read(4) == b"\x89HDF"


def test_a_link_at_the_target_is_replaced(bundle: Path, victim: Path) -> None:
    (bundle / "x").symlink_to(victim)
    write_file(bundle / "x", b"content")
    assert (bundle / "x").read_bytes() == b"content" and not (bundle / "x").is_symlink()


@pytest.mark.parametrize("link", [False, True])
def test_a_device_at_the_target_is_not_replaced(link: bool, bundle: Path) -> None:
    os.mkfifo(bundle / "pipe")
    target = bundle / ("to-null" if link else "pipe")
    if link:
        target.symlink_to("/dev/null")
    with pytest.raises(ImindexError, match="not a regular file"):
        write_file(target, b"content")
    assert sorted(path.name for path in bundle.iterdir()) == sorted({"pipe", target.name})


def test_long_names_have_short_temporary_names(bundle: Path) -> None:
    for name in ("x" * 255, "ü" * 120 + ".h5"):
        path = bundle / name
        with pytest.raises(ZeroDivisionError), put_in_place(path) as file:
            copied = Path(str(file.name)).read_bytes, Path(str(file.name))
            raise ZeroDivisionError
        copied[1].write_bytes(b"as a killed process leaves it")
        other = bundle / f".other.{KEEPER}{SUFFIX}"
        other.touch()
        clear_leftovers(path)
        assert not copied[1].exists() and other.exists()
        write_file(path, b"content")


def test_leftovers_are_recognised_by_our_own_pattern(bundle: Path, victim: Path) -> None:
    """Of killed processes only: not of other programs, not links, not folders, not those of an index."""
    ours = [bundle / f".{name}.{KEEPER}{SUFFIX}" for name in ("report.html", "a\nb", ".lock")]
    others = [
        bundle / name
        for name in (".vimrc.new", ".a.1.new", f"a.{KEEPER}{SUFFIX}", f".a.{KEEPER[1:]}{SUFFIX}",
                     f".a.{'g' * 16}{SUFFIX}", f".i.h5.{KEEPER}{SUFFIX}", f".{KEEPER}{SUFFIX}")
    ]  # fmt: skip
    for file in (*ours, *others):
        file.write_bytes(b"")
    link, folder = bundle / f".link.{KEEPER}{SUFFIX}", bundle / f".folder.{KEEPER}{SUFFIX}"
    link.symlink_to(victim), folder.mkdir()
    clear_folder(bundle)
    assert {*bundle.iterdir()} == {*others, link, folder}
    clear_leftovers(bundle / "i.h5")
    assert {*bundle.iterdir()} == {*others, link, folder} - {bundle / f".i.h5.{KEEPER}{SUFFIX}"}


# Generated pictures


def released(folder: Path, n: int = 3) -> None:
    asked = shots(["Ada"], per_artist=n, nameless=0)
    about = {"model": "m", "revision": "r", "versions": {"imindex": "0"}}
    with locked(folder):
        release = Folder(folder, "r", about)
        release.refuse_other({"release": "r"})
        done = release.done(asked)
        for number, shot in enumerate(asked):
            if shot.path not in done:
                release.add(shot, picture(number, (8, 8)), None)
        release.finish(asked)


def test_generating_deletes_only_own_files(bundle: Path, tmp_path: Path) -> None:
    out, far = bundle / "out", tmp_path / "far"
    (out / "names").mkdir(parents=True), far.mkdir()
    kept = [
        out / ".vimrc.new",
        out / "names/.config.new",
        out / "names/.notes.17.new",
        far / f".x.{KEEPER}{SUFFIX}",
    ]
    ours = [out / f".release.json.{KEEPER}{SUFFIX}", out / f"names/.x.png.{KEEPER}{SUFFIX}"]
    for file in (*kept, *ours):
        file.write_text("content")
    (out / "linked").symlink_to(far)
    released(out)
    assert [file for file in kept if not file.exists()] == []
    assert [file for file in ours if file.exists()] == []


def test_the_manifest_is_not_appended_to_through_a_link(bundle: Path, victim: Path) -> None:
    released(bundle / "out", 2)
    whole = (bundle / "out" / MANIFEST).read_bytes()
    (bundle / "out" / MANIFEST).unlink()
    (bundle / "out" / MANIFEST).hardlink_to(victim)
    with pytest.raises(ImindexError, match="cannot be read"):  # it is not a manifest
        released(bundle / "out", 2)
    (bundle / "out" / MANIFEST).unlink()
    for file in (bundle / "out").rglob("*.png"):
        file.unlink()
    (bundle / "out" / MANIFEST).symlink_to("dangling")
    with pytest.raises(ImindexError, match="is a symbolic link, not a regular file of imindex"):
        released(bundle / "out", 2)
    assert not (bundle / "out/dangling").exists()
    (bundle / "out" / MANIFEST).unlink()
    released(bundle / "out", 2)
    assert (bundle / "out" / MANIFEST).read_bytes() == whole


def test_pictures_are_not_written_through_a_linked_folder(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir(), (bundle / "out").mkdir()
    top = Path(shots(["Ada"], per_artist=1, nameless=0)[0].path).parts[0]
    (bundle / "out" / top).symlink_to(tmp_path / "far")
    with pytest.raises(ImindexError, match=f"{top} is a symbolic link"):
        released(bundle / "out")
    assert not list((tmp_path / "far").iterdir())


# Links to an index


def test_a_linked_index_is_updated_where_it_is(bundle: Path, tmp_path: Path) -> None:
    real = save(tmp_path / "real.h5", clustered(50))
    (bundle / "i.h5").symlink_to(real)
    assert remove(bundle / "i.h5", artists=["artist 1"]).removed
    assert (bundle / "i.h5").is_symlink() and [path.name for path in bundle.iterdir()] == ["i.h5"]


@pytest.mark.parametrize(
    "words",
    ["info -i", "verify -i", "seal -i", "remove --artist ada -i", "optimize -i", "migrate -i", "export out -i",
     "query p.png -i", "match -i", "classify -i", "build art --model demo --device cpu -i", "doctor -i"],
)  # fmt: skip
def test_an_index_that_links_to_itself_is_an_error(
    words: str, bundle: Path, works: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle)
    works({"works/ada": 1}, root="bundle/art")
    (bundle / "i.h5").symlink_to("j.h5"), (bundle / "j.h5").symlink_to("i.h5")
    picture(1).save("p.png")
    caught = run(*words.split(), "i.h5", code=3 if words.startswith("doctor") else 1)
    assert "symbolic link that leads back to itself" in " ".join(caught.output.split())
    assert not list(bundle.glob("*.parts"))


def test_a_link_does_not_decide_where_an_index_is_created(
    bundle: Path, tmp_path: Path, works: Callable
) -> None:
    art = works({"works/ada": 1})
    (bundle / "i.h5").symlink_to(tmp_path / "elsewhere.h5")
    caught = run("build", art, "-i", bundle / "i.h5", "--model", "demo", "--device", "cpu", code=1)
    assert "which does not exist. Name the file itself" in " ".join(caught.output.split())
    assert not list(tmp_path.glob("elsewhere*"))


# Permissions


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


REWRITTEN: dict[str, Callable[[Path], Any]] = {
    "remove": lambda path: remove(path, artists=["artist 1"]),
    "optimize": lambda path: optimize(path, kind="ivf", recall=0.3, memory=10**8),
    "save": lambda path: save(path, clustered(1_300), contents(1_300)),
}


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("command", REWRITTEN)
@pytest.mark.parametrize("private", [0o600, 0o660, 0o444, 0o604], ids=oct)
def test_a_rewritten_index_keeps_its_permissions(command: str, private: int, tmp_path: Path) -> None:
    path = save(tmp_path / "i.h5", clustered(1_200))
    assert mode(path) == 0o640  # a new file follows the umask
    path.chmod(private)
    if not os.geteuid():
        os.chown(path, 12, 34)
    before = path.stat()
    REWRITTEN[command](path)
    after = path.stat()
    assert after.st_ino != before.st_ino
    assert (mode(path), after.st_uid, after.st_gid) == (private, before.st_uid, before.st_gid)


def test_a_file_is_private_before_it_replaces_a_private_one(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("secret"), path.chmod(0o600)
    with put_in_place(path) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    assert mode(path) == 0o600


@pytest.mark.skipif(not hasattr(os, "geteuid") or bool(os.geteuid()), reason="sets owners as root")
def test_a_group_that_cannot_be_kept_hands_its_rights_to_no_other(tmp_path: Path) -> None:
    """Another user of the folder rewrites the file: neither owner nor group can be kept."""
    folder = tmp_path / "shared"
    folder.mkdir(), folder.chmod(0o777)
    path = folder / "x"
    path.write_text("secret"), path.chmod(0o660), os.chown(path, 12, 34)
    for above in (tmp_path, *tmp_path.parents):
        with suppress(PermissionError):
            above.chmod(above.stat().st_mode | 0o011)
    child = os.fork()
    if not child:
        code = 1
        with suppress(BaseException):
            os.setgroups([]), os.setgid(56), os.setuid(78)
            write_file(path, b"other")
            code = 0
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    after = path.stat()
    assert (after.st_uid, after.st_gid, mode(path)) == (78, 56, 0o600)


# Input files


@pytest.fixture
def pipe(bundle: Path) -> Path:
    os.mkfifo(bundle / "pipe")
    return bundle / "pipe"


INPUTS = {
    "info": ["info", "-i", "PIPE"],
    "verify": ["verify", "-i", "PIPE"],
    "seal of": ["seal", "-i", "PIPE"],
    "seal": ["verify", "-i", "INDEX", "--seal", "PIPE"],
    "build": ["build", "ART", "-i", "PIPE", "--model", "demo", "--device", "cpu"],
    "remove": ["remove", "--artist", "ada", "-i", "PIPE", "--yes"],
    "optimize": ["optimize", "-i", "PIPE"],
    "migrate": ["migrate", "-i", "PIPE"],
    "export": ["export", "out", "-i", "PIPE"],
    "merge": ["merge", "INDEX", "PIPE", "-o", "all.h5"],
    "split": ["split", "PIPE", "--rows", "9"],
    "one of two": ["info", "-i", "INDEX", "-i", "PIPE"],
    "query": ["query", "PICTURE", "-i", "PIPE"],
    "match": ["match", "-i", "PIPE"],
    "classify": ["classify", "-i", "PIPE"],
    "compare": ["compare", "a", "b", "-i", "PIPE"],
    "picture": ["query", "PIPE", "-i", "INDEX"],
    "source": ["build", "PIPE", "-i", "new.h5"],
    "manifest": ["build", "PIPE.csv", "-i", "new.h5"],
    "plan": ["audit", "PIPE"],
    "dry run": ["audit", "PIPE", "--dry-run"],
    "artists": ["generate", "--model", "none", "--artists", "PIPE", "--out", "out", "--dry-run"],
    "placebo names": ["generate", "--model", "none", "--placebo-names", "PIPE", "--out", "out", "--dry-run"],
    "configuration": ["build", "ART", "-i", "new.h5", "--model", "PIPE.json", "--pretrained", "PICTURE"],
    "weights": ["build", "ART", "-i", "new.h5", "--model", "ViT-B-32", "--pretrained", "PIPE"],
    "weights beside": ["build", "ART", "-i", "new.h5", "--model", "MODEL.json", "--pretrained", "PIPE"],
    "model": ["build", "ART", "-i", "new.h5", "--model", "local-dir:FOLDER"],
    "pipeline": ["generate", "--model", "FOLDER", "--artist", "Ada", "--out", "out"],
    "results": ["verify", "-i", "INDEX", "--results", "FOLDER"],
}


@pytest.mark.parametrize("name", INPUTS)
def test_a_pipe_is_no_input(
    name: str, bundle: Path, pipe: Path, built: Path, works: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle)
    folder = bundle / "folder"
    folder.mkdir()
    for inside in ("open_clip_config.json", "model_index.json", "register.jsonl", "report.json"):
        os.mkfifo(folder / inside)
    for suffix in (".csv", ".json"):
        os.mkfifo(bundle / f"pipe{suffix}")
    (bundle / "model.json").write_text("{}")
    picture(1).save(bundle / "picture.png")
    places = {"PIPE": "pipe", "INDEX": built, "ART": works({"works/ada": 1}), "PICTURE": "picture.png",
              "PIPE.csv": "pipe.csv", "PIPE.json": "pipe.json", "MODEL.json": "model.json", "FOLDER": "folder",
              "local-dir:FOLDER": "local-dir:folder"}  # fmt: skip
    with limited():
        caught = run(*(places.get(word, word) for word in INPUTS[name]), code=3 if name == "results" else 1)
    said = " ".join(caught.output.split())
    refused = (
        "not a regular file",
        "neither a folder, a tar shard nor a manifest",
        "no index pipe that could hold",
    )
    assert any(words in said for words in refused), said
    assert not list(bundle.glob("*.parts")) and not (bundle / "new.h5").exists()


def test_a_pipe_is_no_key_seed_or_picture_of_a_release(bundle: Path, pipe: Path) -> None:
    from imindex.indexer.generate.secret_seed import read_seed
    from imindex.indexer.integrity.signature import check_signature
    from imindex.retrieval.compare.archived_report import read_archived

    with limited():
        with pytest.raises(ImindexError, match="pipe is a pipe, not a regular file"):
            read_seed(f"from:{pipe}")
        with pytest.raises(ImindexError, match="pipe is a pipe, not a regular file"):
            read_archived(pipe)
        released(bundle / "out", 1)
        (file,) = (bundle / "out").rglob("*.png")
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(ImindexError, match="is a pipe, not a regular file"):
            released(bundle / "out", 1)
        pytest.importorskip("cryptography")
        with pytest.raises(ImindexError, match="pipe is a pipe, not a regular file"):
            check_signature(None, pipe)  # type: ignore[arg-type] - the key is read first


@pytest.mark.parametrize("what", ["folder", "socket", "device", "self"])
def test_what_is_no_regular_file_is_refused_by_its_kind(what: str, bundle: Path) -> None:
    path = bundle / "x"
    match what:
        case "folder":
            path.mkdir()
        case "socket":
            bound = socket.socket(socket.AF_UNIX)
            bound.bind(os.path.relpath(path))
            bound.close()
        case "device":
            path = Path("/dev/zero")
        case "self":
            path.symlink_to("x")
    named = "leads back to itself" if what == "self" else f"is a {what}"
    with limited():
        with pytest.raises(ImindexError, match=named):
            Index(path)
        with pytest.raises(ImindexError, match=named):
            read_text(path)
        if what in ("socket", "device"):
            with pytest.raises(ImindexError, match=named):
                refuse_special_files(path)


def test_a_linked_input_is_read(bundle: Path) -> None:
    (bundle / "text").write_bytes("\ufeffAda\r\nBö\rCy\n".encode())
    (bundle / "link").symlink_to("text")
    assert read_text(bundle / "link", "utf-8-sig") == "Ada\nBö\nCy\n"


# File systems without locks

_PRELOAD = """
#include <errno.h>
#include <stdlib.h>
int flock(int fd, int operation) { errno = atoi(getenv("FLOCK_ERRNO")); return -1; }
"""
_PROGRAM = """
import sys
from pathlib import Path
import fcntl, os
try:
    fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
except OSError as error:
    assert error.errno == int(os.environ["FLOCK_ERRNO"])
else:
    raise AssertionError("flock works")
from imindex.indexer.build.checkpoint import Parts
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.maintain.remove import remove
from tests.support.approximate import INFO, clustered, save
path = Path(sys.argv[1], "i.h5")
with Parts(path, INFO) as parts:
    save(path, clustered(50))
    try:
        Parts(path, INFO).__enter__()
    except ImindexError as error:
        assert "is being built by process" in str(error)
    else:
        raise AssertionError("two builders")
assert remove(path, artists=["artist 1"]).removed
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="needs a C compiler and LD_PRELOAD"
)
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS], ids=errno.errorcode.get)
def test_a_file_system_without_locks(number: int, tmp_path: Path) -> None:
    (tmp_path / "preload.c").write_text(_PRELOAD)
    library = tmp_path / "preload.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "preload.c"], check=True)
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path / "disk")],
        env=child_environment(LD_PRELOAD=str(library), FLOCK_ERRNO=str(number)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["i.h5"]
    with Index(tmp_path / "disk/i.h5") as index:
        assert index.n == 45


def test_a_lock_does_not_wait_for_a_deleted_file(tmp_path: Path) -> None:
    """A file that its holder has just deleted has no name left: the next process tries again."""
    first = Lock(tmp_path / "x/lock")
    first.acquire()
    shutil.rmtree(tmp_path / "x")
    with alone(tmp_path / "x/lock", ""):
        pass
    first.release()
