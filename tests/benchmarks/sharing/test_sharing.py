"""Sharing runs: what is pushed is pulled unchanged, from every kind of target."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import types
from pathlib import Path

import fsspec
import pytest

from benchmarks.api.policies import load_agent
from benchmarks.cli import app
from benchmarks.runs.errors import BadInput
from benchmarks.runs.records import read_records
from benchmarks.sharing.contents import CARD, gather, sums
from benchmarks.sharing.fetching import cached, run_folder
from benchmarks.sharing.places import place
from tests.fakes.toys import run, toy_spec
from tests.untrained import ENV_STEPS, untrained_run

TARGETS = ["shared/mine", "memory://bucket/mine", "hf://me/mine"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    spec = toy_spec(steps=240)
    run(dataclasses.replace(spec, agent={"cost_limit": 2.0}), folder)
    videos = folder / "evaluation-toy-default-240"
    videos.mkdir()
    (videos / "episode-0.mp4").write_bytes(b"film")
    (folder / "evaluation-toy-default-240.csv").write_bytes(b"rows")
    return folder


def hub(folder: Path) -> types.ModuleType:
    """A stand-in for huggingface_hub that keeps repositories in a folder."""
    module = types.ModuleType("huggingface_hub")

    class HfApi:
        def create_repo(self, name: str, private: bool, exist_ok: bool) -> None:
            assert private and exist_ok
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / ".gitattributes").write_text("*.npz filter=lfs\n")

        def list_repo_files(self, name: str) -> list[str]:
            return [
                path.relative_to(folder / name).as_posix() for path in (folder / name).rglob("*")
            ]

        def upload_folder(self, repo_id: str, folder_path: str) -> None:
            shutil.copytree(folder_path, folder / repo_id, dirs_exist_ok=True)

    def snapshot_download(name: str, local_dir: str, ignore_patterns: list[str]) -> None:
        shutil.copytree(folder / name, local_dir, ignore=shutil.ignore_patterns(*ignore_patterns))

    module.HfApi, module.snapshot_download = HfApi, snapshot_download  # type: ignore[attr-defined]
    module.hf_hub_download = lambda name, file: str(folder / name / file)  # type: ignore[attr-defined]
    return module


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of target, empty; the cache is in `cache` of the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub(tmp_path / "hub"))
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_pushed_is_pulled(trained: Path, target: str, places: None, capfd):
    assert app.main(["push", str(trained), target]) == 0
    assert app.main(["pull", target, "theirs"]) == 0
    assert f"fetched {target} into theirs" in capfd.readouterr().out
    for name in ("spec.json", "episodes.csv", "metrics.jsonl", "evaluation-toy-default-240.csv"):
        assert Path("theirs", name).read_bytes() == (trained / name).read_bytes()
    checkpoints = [path.name for path in Path("theirs", "checkpoints").iterdir()]
    assert checkpoints == ["000000000240"]
    film = Path("theirs", "evaluation-toy-default-240", "episode-0.mp4")
    assert film.read_bytes() == b"film"
    assert not Path("theirs", "replay").exists() and not Path("theirs", "status.json").exists()
    assert app.main(["push", str(trained), target]) == 2
    assert "is not empty: push to another name" in capfd.readouterr().err
    assert app.main(["pull", target, "theirs"]) == 2
    assert "theirs exists" in capfd.readouterr().err


def test_a_folder_may_be_a_url(trained: Path, places: None, tmp_path: Path):
    assert app.main(["push", str(trained), f"file://{tmp_path}/new/mine"]) == 0
    assert app.main(["pull", f"file://{tmp_path}/new/mine", "theirs"]) == 0
    assert Path("theirs", "SHA256SUMS").read_text() == Path("new/mine/SHA256SUMS").read_text()


def test_the_card_says_what_a_policy_is(trained: Path, tmp_path: Path):
    gather(trained, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("# toy on tests.fakes.toys:shore\n")
    for row in ("| seed | 0 |", "| simulator steps | 240 |", "| cost limit | 2.0 |"):
        assert row in text
    frame = read_records(trained)
    last = frame[frame["split"] == "eval"].tail(10)
    assert f"return {last['return'].mean():.2f}, cost {last['cost'].mean():.2f}." in text


def test_the_card_distinguishes_variants_and_runs(trained: Path, tmp_path: Path):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "sweep.json").write_text(json.dumps({"variant": "wide | deep"}))
    gather(run, tmp_path / "shared")
    text = (tmp_path / "shared" / "README.md").read_text()
    assert text.startswith("# toy [wide \\| deep] on tests.fakes.toys:shore\n")
    assert "| method | toy [wide \\| deep] |" in text
    assert f"| run | `{json.loads((run / 'spec.json').read_text())['run_id']}` |" in text


def test_an_own_method_may_have_any_settings(trained: Path, tmp_path: Path):
    shutil.copytree(trained, tmp_path / "run")
    file = tmp_path / "run" / "spec.json"
    data = json.loads(file.read_text())
    data["spec"]["agent"] = {"model": "linear"}
    file.write_text(json.dumps(data))
    gather(tmp_path / "run", tmp_path / "shared")
    assert "| costs | learned |" in (tmp_path / "shared" / "README.md").read_text()


def test_what_differs_from_what_was_shared_is_refused(trained: Path, tmp_path: Path, capfd):
    shared = tmp_path / "shared"
    assert app.main(["push", str(trained), str(shared)]) == 0
    (shared / "episodes.csv").write_text("other")
    assert app.main(["pull", str(shared), str(tmp_path / "theirs")]) == 2
    assert "files differ from those that were shared (SHA256SUMS): episodes.csv; fetch" in (
        capfd.readouterr().err
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shared"]
    (shared / "SHA256SUMS").unlink()
    assert app.main(["pull", str(shared), str(tmp_path / "theirs")]) == 2
    assert "no shared run" in capfd.readouterr().err
    (shared / "SHA256SUMS").write_text(sums(shared))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("hf://me", "write hf://OWNER/NAME"),
        ("hf://me/mine", "needs the package huggingface_hub"),
        ("nosuch://bucket", "nosuch://bucket: .*pip install fsspec"),
    ],
)
def test_a_place_that_cannot_be_reached_is_refused(
    target: str, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BadInput, match=message):
        place(target)


def test_a_name_outside_of_its_folder_is_not_written(tmp_path: Path):
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pipe_file("/bucket/a/../../../outside", b"x")
    with pytest.raises(BadInput, match="outside of its folder"):
        place("memory://bucket/a").get(tmp_path / "run")


def test_a_run_without_a_checkpoint_is_not_shared(trained: Path, tmp_path: Path):
    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(BadInput, match="no intact checkpoint to share"):
        gather(tmp_path / "run", tmp_path / "into")


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_fetched_once_into_the_cache(trained: Path, target: str, places: None, capfd):
    assert app.main(["push", str(trained), target]) == 0
    folder = cached(f"hub:{target}")
    assert folder.parent == Path("cache", "safedreamer", "shared").absolute()
    assert f"fetching {target} into {folder}" in capfd.readouterr().err
    assert (folder / "episodes.csv").read_bytes() == (trained / "episodes.csv").read_bytes()
    assert cached(f"hub:{target}") == folder == run_folder(f"hub:{target}")
    assert capfd.readouterr().err == ""
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_what_is_pushed_anew_is_fetched_anew(trained: Path, places: None, tmp_path: Path):
    assert app.main(["push", str(trained), "shared"]) == 0
    first = cached("hub:shared")
    longer = shutil.copytree(trained, tmp_path / "longer")
    (longer / "metrics.jsonl").write_text('{"env_steps": 1}\n')
    shutil.rmtree("shared")
    assert app.main(["push", str(longer), "shared"]) == 0
    second = cached("hub:shared")
    assert second != first
    assert (second / "metrics.jsonl").read_text() == '{"env_steps": 1}\n'


def test_a_target_is_evaluated_and_loaded_as_its_run_is(places: None, tmp_path: Path, capfd):
    spec = untrained_run(tmp_path / "run", "sac")
    assert app.main(["push", "run", "memory://bucket/mine"]) == 0
    options = ["--episodes", "2", "--workers", "inline"]
    assert app.main(["evaluate", "run", *options, "--out", "own.csv"]) == 0
    assert app.main(["evaluate", "hub:memory://bucket/mine", *options]) == 0
    (out,) = tmp_path.glob("hub-*.csv")
    assert (
        out.name
        == "hub-memory---bucket-mine-evaluation-tests.fakes.shore-shore-default-3000-episodes2.csv"
    )
    theirs, own = (read_records(path).drop(columns="wall_seconds") for path in (out, "own.csv"))
    assert len(own) == 2 and theirs.equals(own)
    policy = load_agent("hub:memory://bucket/mine")
    assert (policy.spec, policy.env_steps) == (spec, ENV_STEPS)
    assert policy.evaluate(episodes=2)["return"].tolist() == own["return"].tolist()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hub:", "hub: needs the target that `safedreamer push` wrote"),
        ("hub:nowhere", "no shared run at nowhere: `safedreamer push RUN nowhere` puts one there"),
        ("hub:memory://bucket/none", "no shared run at memory://bucket/none: `safedreamer push"),
        ("hub:hf://me/none", r"hf://me/none cannot be used \(FileNotFoundError: .*check its name"),
        ("s3://bucket/mine", "is not a folder: write hub:s3://bucket/mine"),
    ],
)
def test_what_names_no_shared_run_is_refused(name: str, message: str, places: None):
    with pytest.raises(BadInput, match=message):
        run_folder(name)


def test_a_cache_that_cannot_be_written_is_named(
    trained: Path, places: None, monkeypatch: pytest.MonkeyPatch
):
    assert app.main(["push", str(trained), "shared"]) == 0
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    with pytest.raises(BadInput, match=r"XDG_CACHE_HOME /proc/nowhere/.* cannot be written to"):
        cached("hub:shared")


@pytest.mark.parametrize("target", ["shared", "link", "file://{here}/shared"])
@pytest.mark.parametrize("out", ["shared/copy", "shared/a/b", "link/copy"])
def test_a_copy_inside_of_what_is_copied_is_refused(
    target: str, out: str, places: None, tmp_path: Path, capfd
):
    untrained_run(tmp_path / "run", "sac")
    assert app.main(["push", "run", "shared"]) == 0
    Path("link").symlink_to("shared")
    before = sorted(Path("shared").rglob("*"))
    assert app.main(["pull", target.format(here=tmp_path), out]) == 2
    assert f"{out} is inside of" in capfd.readouterr().err
    assert sorted(Path("shared").rglob("*")) == before


@pytest.mark.parametrize("shared", ["shared", "file://{here}/shared", "memory://bucket/mine"])
@pytest.mark.parametrize("inside", ["other", "a/b"])
def test_no_run_is_pushed_or_pulled_into_a_shared_one(
    shared: str, inside: str, trained: Path, places: None, tmp_path: Path, capfd
):
    shared = shared.format(here=tmp_path)
    assert app.main(["push", str(trained), shared]) == 0
    sums = place(shared).read("SHA256SUMS")
    assert app.main(["push", str(trained), f"{shared}/{inside}"]) == 2
    assert f"{shared.removeprefix('file://')}/{inside} is inside of " in capfd.readouterr().err
    assert app.main(["push", str(trained), f"{shared}-2"]) == 0  # beside it
    if Path("shared").is_dir():
        assert app.main(["pull", f"{shared}-2", f"shared/{inside}"]) == 2
        assert f"shared/{inside} is inside of " in capfd.readouterr().err
    assert app.main(["pull", shared, "theirs"]) == 0
    assert place(shared).read("SHA256SUMS") == sums


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"], ids=["long", "NUL"])
def test_a_target_that_no_folder_can_have_is_one_line(name: str, places: None, capfd):
    assert app.main(["pull", name, "theirs"]) == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_a_card_may_be_edited(trained: Path, places: None):
    assert app.main(["push", str(trained), "shared"]) == 0
    Path("shared", CARD).write_text("more to say")
    assert app.main(["pull", "shared", "theirs"]) == 0
    assert Path("theirs", CARD).read_text() == "more to say"
