"""Folders, manifests and pictures at URLs are those of the same tree on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from imindex.indexer.build.from_sources import build_from_sources
from imindex.indexer.core import credentials
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.sources.find import find
from imindex.indexer.sources.item import Item
from imindex.indexer.store.index import Index
from tests.support.commands import run
from tests.support.objects import BUCKET, S3, Fault, FaultyProxy
from tests.support.pictures import encoded, picture

pytestmark = pytest.mark.usefixtures("quick_requests")

PNG = encoded(picture(1), "PNG")
BASE = f"s3://{BUCKET}"


@pytest.fixture
def tree(tmp_path: Path, s3: S3) -> Callable[[Mapping[str, bytes]], tuple[Path, str]]:
    """Return a function that writes files below the test's folder and to the bucket; it returns both places."""

    def write(files: Mapping[str, bytes]) -> tuple[Path, str]:
        local = tmp_path / "art"
        for name, data in files.items():
            (local / name).parent.mkdir(parents=True, exist_ok=True)
            (local / name).write_bytes(data)
        s3.upload(local, f"{tmp_path.name}/art")
        return local, f"{BASE}/{tmp_path.name}/art"

    return write


def relative(items: Iterator[Item], base: str) -> list[tuple[str, ...]]:
    return [
        (item.path.removeprefix(base).lstrip("/"), item.artist, item.kind, item.collection, item.prompt)
        for item in items
    ]


def same(local: Path, url: str, below: str = "", **options: str) -> list[tuple[str, ...]]:
    """Check that a folder has the same pictures, notes and passed files at both places, and return the pictures."""
    notes: list[list[str]] = [[], []]
    here = relative(find([local / below], note=notes[0].append, **options), str(local))
    there = relative(find([f"{url}/{below}".rstrip("/")], note=notes[1].append, **options), url)
    assert here == there
    assert [note.replace(str(local), "") for note in notes[0]] == [note.replace(url, "") for note in notes[1]]
    return here


LAYOUT = {
    "works/Zoe Sample/10.png": PNG, "works/Zoe Sample/9.png": PNG, "works/Zoe Sample/sub/a b#c?d%e.png": PNG,
    "works/ada example/1.png": PNG,
    "works/Ada Example/\u00e9t\u00e9.png": PNG, "works/Ada Example/+&=@!$'(),;.png": PNG,
    "works/Ada Example/noname": PNG, "works/Ada Example/notes.txt": b"no picture", "works/Ada Example/really.dat": PNG,
    "works/Ada Example/Thumbs.db": b"x", "works/Ada Example/.hidden.png": PNG, "works/Ada Example/._1.png": b"x",
    "works/@eaDir/1.png": PNG, "works/Empty/readme.md": b"# nothing", "imitations/r2/Ada Example/1.png": PNG,
    "imitations/r10/Ada Example/1.png": PNG, "control/plain/1.png": PNG, "control/2.png": PNG,
    "background/Bo/1.png": PNG, "other/1.png": PNG, "loose.png": PNG, "readme.txt": b"text",
}  # fmt: skip


def test_every_layout_is_read_as_on_this_machine(
    proxy: FaultyProxy, tree: Callable[..., tuple[Path, str]]
) -> None:
    local, url = tree(LAYOUT)
    assert len(same(local, url)) == 13
    assert len(same(local, url, "works")) == 8
    assert len(same(local, url, "imitations")) == 2
    assert len(same(local, url, "imitations/r2")) == 1
    assert len(same(local, url, "control")) == 2
    assert len(same(local, url, "works", artist="Ada Example")) == 8
    assert len(same(local, url, "works/Zoe Sample", kind="works", artist="Zoe")) == 3
    assert len(same(local, url, "works", artist_from="{artist}/...")) == 8
    assert len(same(local, url, "other", kind="works", artist="Ada")) == 1


def test_faults_of_a_layout_are_told_as_on_this_machine(
    proxy: FaultyProxy, tree: Callable[..., tuple[Path, str]]
) -> None:
    local, url = tree({"pile/1.png": PNG, "imitations/Ada/1.png": PNG})
    for below, options in (
        ("pile", {}),
        ("pile", {"kind": "works"}),
        ("imitations", {}),
        ("", {"kind": "works"}),
    ):
        said = []
        for base in (str(local), url):
            with pytest.raises(ImindexError) as raised:
                list(find([f"{base}/{below}".rstrip("/")], **options))
            said.append(str(raised.value).replace(base, ""))
        assert said[0] == said[1]
    for place, reason in (
        (f"{url}/nowhere", "does not exist, or holds nothing"),
        (f"{url}/pile/1.png", "is an object"),
    ):
        with pytest.raises(ImindexError, match=reason):
            list(find([place], kind="works"))


def manifest(rows: list[dict[str, str]]) -> bytes:
    lines = [",".join(rows[0])] + [",".join(row.values()) for row in rows]
    return "\n".join(lines).encode()


def test_manifests_at_urls_and_urls_in_manifests(
    proxy: FaultyProxy, s3: S3, tree: Callable[..., tuple[Path, str]], tmp_path: Path
) -> None:
    rows = [
        {"path": name, "artist": "Ada", "kind": "works"} for name in ("b/1.png", "a b#.png", ".\\b\\2.png")
    ]
    local, url = tree(
        {"m.csv": manifest(rows), "b/1.png": PNG, "a b#.png": PNG, "b/2.png": PNG, "b/3.png": PNG}
    )
    assert [row[0] for row in same(local, url, "m.csv")] == ["b/1.png", "a b#.png", "b/2.png"]
    s3.write(f"{tmp_path.name}/art/manifest.csv", manifest(rows[:1]))
    (local / "manifest.csv").write_bytes(manifest(rows[:1]))
    assert [row[0] for row in same(local, url)] == ["b/1.png"]
    mixed = [
        {"path": path, "artist": "Ada", "kind": "works"}
        for path in (
            f"{url}/b/1.png",
            "b/2.png",
            f"file://{local}/b/3.png",
            "//far/b/1.png",
            "//near/b/1.png",
        )
    ]
    (local / "mixed.csv").write_bytes(manifest(mixed))
    roots = {"far": url, "near": str(local)}
    assert [item.path for item in find([local / "mixed.csv"], roots=roots)] == [
        f"{url}/b/1.png", str(local / "b/2.png"), str(local / "b/3.png"), f"{url}/b/1.png", str(local / "b/1.png"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/etc/passwd.png", "path of a machine"), ("file:///etc/passwd.png", "path of a machine"),
        ("C:\\art\\1.png", "path of a machine"), ("../../other/1.png", "outside the folder"),
        ("..", "outside the folder"), (".", "outside the folder"), ("a/%2e%2e/1.png", "outside the folder"),
        ("//near/../1.png", "leads out of its root"), ("//unknown/1.png", "path of a machine"),
        ("https:///a.png", "without a host"),
    ],
)  # fmt: skip
def test_a_manifest_at_a_url_cannot_lead_elsewhere(
    path: str, said: str, proxy: FaultyProxy, s3: S3, tmp_path: Path
) -> None:
    s3.write(
        f"{tmp_path.name}/m.jsonl", json.dumps({"path": path, "artist": "Ada", "kind": "works"}).encode()
    )
    with pytest.raises(ImindexError, match=f"m.jsonl, line 1: .*{said}"):
        list(find([f"{BASE}/{tmp_path.name}/m.jsonl"], roots={"near": str(tmp_path)}))


def draw(n: int = 8) -> dict[str, bytes]:
    return {f"works/{['Ada', 'Bo'][i % 2]}/{i}.png": encoded(picture(i), "PNG") for i in range(n)}


def index_of(source: object, path: Path, model: str, **options: object) -> Index:
    path.parent.mkdir(parents=True, exist_ok=True)
    build_from_sources(source, path, model=model, precision="fp32", device="cpu", **options)  # type: ignore[arg-type]
    return Index(path)


def test_a_build_from_a_bucket_has_the_digest_of_the_local_build(
    proxy: FaultyProxy, s3: S3, tree: Callable[..., tuple[Path, str]], tmp_path: Path, tiny_model: str
) -> None:
    local, url = tree({**draw(), "works/Ada/broken.png": b"\x89PNG\r\n\x1a\nbroken"})
    with index_of(local, tmp_path / "l/i.h5", tiny_model, roots={"art": local}) as here:
        root, n = here.root_digest, here.n
    path = tmp_path / "r/i.h5"
    with index_of(url, path, tiny_model, roots={"art": url}) as there:
        assert (there.root_digest, there.n) == (root, n)
        assert there.column("path")[0].startswith("//art/works/")
    # A second build reads the listing only, and one with rehash everything.
    proxy.requests.clear()
    with index_of(url, path, tiny_model, roots={"art": url}) as again:
        assert again.root_digest == root
    assert [line.split("?")[0] for line in proxy.requests] == [f"GET /{BUCKET}"]
    proxy.requests.clear()
    with index_of(url, path, tiny_model, roots={"art": url}, rehash=True) as again:
        assert again.root_digest == root
    assert proxy.count(contains=".png") == 9
    # A changed object of the same size is seen by its etag.
    data = encoded(picture(99), "PNG")
    key = f"{tmp_path.name}/art/works/Ada/0.png"
    s3.write(key, data)
    report = build_from_sources(url, path, roots={"art": url})
    assert (report.replaced, report.unchanged, report.encoded) == (1, 7, 1)
    # The same pictures, in a manifest of URLs: a request for the headers of each, and none is read.
    rows = [{"path": f"{url}/{name}", "artist": name.split("/")[1], "kind": "works"} for name in draw()]
    (tmp_path / "m.csv").write_bytes(manifest(rows))
    proxy.requests.clear()
    report = build_from_sources(tmp_path / "m.csv", path, roots={"art": url})
    assert (report.unchanged, report.encoded) == (8, 0)
    assert proxy.count("HEAD") == 8 and proxy.count() == 0


def test_order_and_digest_survive_faults(
    proxy: FaultyProxy,
    tree: Callable[..., tuple[Path, str]],
    tmp_path: Path,
    tiny_model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    local, url = tree(draw(24))
    with index_of(local, tmp_path / "l/i.h5", tiny_model, roots={"art": local}) as here:
        root = here.root_digest
    monkeypatch.setenv("IMINDEX_REMOTE_ATTEMPTS", "15")  # chance may give one picture all 12 faults
    for number, kind in enumerate(("503", "cut", "reset", "length", "short", "slow")):
        proxy.faults.append(Fault(kind, times=2, contains=f"works/{['Ada', 'Bo'][number % 2]}/", seconds=0.5))
    proxy.faults.append(Fault("503", times=1, contains="list-type"))
    with index_of(url, tmp_path / "r/i.h5", tiny_model, roots={"art": url}) as there:
        assert there.root_digest == root
    assert not any(fault.times for fault in proxy.faults)


def test_many_requests_are_in_flight(
    proxy: FaultyProxy, tree: Callable[..., tuple[Path, str]], tmp_path: Path, tiny_model: str
) -> None:
    """The proxy answers only when it has 16 requests at a time, and refuses after 20 seconds."""
    _local, url = tree(draw(16))
    proxy.faults.append(Fault("together", times=16, contains=".png", seconds=20))
    proxy.gather(16)
    with index_of(url, tmp_path / "i.h5", tiny_model) as there:
        assert there.n == 16
    assert proxy.count(contains=".png") == 16


def test_a_store_that_cannot_be_reached_ends_the_build_and_loses_nothing(
    proxy: FaultyProxy, tree: Callable[..., tuple[Path, str]], tmp_path: Path, tiny_model: str
) -> None:
    _local, url = tree(draw())
    path = tmp_path / "i.h5"
    with index_of(url, path, tiny_model) as there:
        root = there.root_digest
    before = path.read_bytes()
    proxy.faults.append(Fault("reset", times=-1, contains=".png"))
    with pytest.raises(ImindexError, match=r"cannot be reached: .*3 attempts"):
        build_from_sources(url, path, rehash=True)
    assert path.read_bytes() == before
    proxy.faults.clear()
    with index_of(url, path, tiny_model, rehash=True) as there:
        assert there.root_digest == root


def test_a_missing_object_is_a_reject_and_pictures_are_verified_where_the_user_says(
    proxy: FaultyProxy, s3: S3, tree: Callable[..., tuple[Path, str]], tmp_path: Path, tiny_model: str
) -> None:
    _local, url = tree(draw(4))
    names = [*draw(4), "works/Ada/gone.png"]
    rows = [{"path": f"{url}/{name}", "artist": name.split("/")[1], "kind": "works"} for name in names]
    (tmp_path / "m.csv").write_bytes(manifest(rows))
    path = tmp_path / "i.h5"
    report = build_from_sources(tmp_path / "m.csv", path, model=tiny_model, precision="fp32", device="cpu")
    assert report.reasons == (("cannot be read: No such file or directory", 1),)
    words = ("verify", "-i", path, "--pictures", "--json")
    credentials.forget()
    proxy.requests.clear()
    said = json.loads(run(*words, code=4).stdout)["pictures"]
    assert said["outside"] == 4 and proxy.requests == [], "an index cannot make its reader contact a host"
    said = json.loads(run(*words, "--root", url, "--replay", "2", "--model", tiny_model).stdout)
    assert said["pictures"]["same"] == 4 and said["replay"]["compared"] == 2
    s3.write(f"{tmp_path.name}/art/works/Ada/0.png", PNG)
    s3.delete(f"{tmp_path.name}/art/works/Bo/1.png")
    said = json.loads(run(*words, "--root", url, code=3).stdout)["pictures"]
    assert (said["same"], said["changed"], said["missing"]) == (2, 1, 1)


def test_a_picture_at_a_url_is_a_query(
    proxy: FaultyProxy, tree: Callable[..., tuple[Path, str]], tmp_path: Path, tiny_model: str
) -> None:
    local, url = tree(draw(4))
    index_of(local, tmp_path / "i.h5", tiny_model).close()
    words = ("-i", tmp_path / "i.h5", "--model", tiny_model, "--json")
    here = json.loads(run("query", local / "works/Ada/0.png", *words).stdout)
    there = json.loads(run("query", f"{url}/works/Ada/0.png", *words).stdout)
    assert here["queries"][0]["kinds"] == there["queries"][0]["kinds"]
    assert there["queries"][0]["query"] == f"{url}/works/Ada/0.png"
    run("query", f"{url}/none.png", *words, code=1)


def test_the_works_of_a_plan_may_be_at_a_url(
    proxy: FaultyProxy, tree: Callable[..., tuple[Path, str]], tmp_path: Path
) -> None:
    """The register has the same digest of the works, and thumbnails read them."""
    from imindex.retrieval.audit.inputs import gather
    from imindex.retrieval.audit.plan import read_plan
    from imindex.retrieval.report.thumbnails import Thumbnails, places_of_audit

    files = {
        f"works/{name} Example/{n}.png": encoded(picture(n), "PNG")
        for name in ("Ada", "Bo")
        for n in range(2)
    }
    made = {f"imitations/one/{name} Example/{n}.png": PNG for name in ("Ada", "Bo") for n in range(2)}
    local, url = tree({**files, **made})
    plan = '[artists]\ntested = ["Ada Example", "Bo Example"]\n[works]\ntested = "{0}/works"\n'
    plan += '[[releases]]\nname = "one"\npictures = "{0}/imitations/one"\n[[encoders]]\nname = "demo"\nmodel = "demo"\n'
    gathered = []
    for place in (local, url):
        (tmp_path / "plan.toml").write_text(plan.format(place))
        gathered.append(gather(read_plan(tmp_path / "plan.toml")))
    assert gathered[0].digests == gathered[1].digests
    assert [item.path for item in gathered[1].works] == [f"{url}/{name}" for name in sorted(files)]
    thumbnails = Thumbnails(places_of_audit(tmp_path, ()), 4)
    assert thumbnails.get(f"{url}/{next(iter(files))}") is not None
    credentials.forget()
    stranger = Thumbnails(places_of_audit(tmp_path, ()), 4)
    before = len(proxy.requests)
    assert stranger.get(f"{url}/{next(iter(files))}") is None and len(proxy.requests) == before


def test_an_ended_build_makes_no_further_attempts(
    proxy: FaultyProxy, tree: Callable[..., tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a hundred attempts and up to 20 seconds before each, the others would be waited for half an hour."""
    from imindex.indexer.runners.reader import read_all

    _local, url = tree(draw(4))
    items = list(find([url]))
    digests = {hashlib.sha256(data).digest() for data in draw(4).values()}
    monkeypatch.setenv("IMINDEX_REMOTE_ATTEMPTS", "100")
    monkeypatch.setenv("IMINDEX_REMOTE_BACKOFF", "60")
    proxy.faults.append(Fault("503", times=-1, contains=items[-1].path.rpartition("/")[2]))
    reads = read_all([*items, *items * 40], digests, {})
    assert next(reads).digest in digests
    reads.close()
    assert proxy.count(contains=items[-1].path.rpartition("/")[2]) > 0
