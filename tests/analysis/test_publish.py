"""`publish`: equal records give equal files, and the files agree with the records."""

from __future__ import annotations

import errno
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from analysis.commands.main import main
from analysis.commands.publish import show_claims, summary
from analysis.read.load import load
from analysis.report.readme import _verdict
from analysis.statistics.agreement import agreement
from analysis.statistics.final import JudgedOn, final_runs, performance
from analysis.statistics.means import effects, means
from analysis.statistics.metrics import scores
from analysis.tables.agreement import agreement_markdown
from benchmarks.runs.files import FINAL_FILE, TRIALS_FILE, WANTED_FILE
from benchmarks.runs.records import FINAL, EpisodeRecord, RecordWriter
from tests.analysis_runs import OBS, TASK, write_run, write_sweep
from tests.tree import ROOT

WANTED = "run_id,method,variant,cost_source,task,obs,seed,steps,minutes\n"


def write_final(folder: Path, method: str, seed: int, values: list[tuple[float, float]]) -> None:
    """Write the scores of a frozen policy: (return, cost) of each episode."""
    with RecordWriter(folder / FINAL_FILE) as writer:
        for number, (ret, cost) in enumerate(values, start=1000):
            of = (f"{folder.name}-id", method, TASK, OBS, seed, FINAL, number)
            writer.write(EpisodeRecord(*of, 4000, 800, ret, cost, 1000, 9.0))


@pytest.fixture
def campaign(tmp_path) -> Path:
    folder = tmp_path / "results" / "campaign"
    write_sweep(folder / "runs")
    write_final(folder / "runs" / "osrp-0", "osrp", 0, [(20.0, 0.0), (22.0, 0.0), (24.0, 3.0)])
    write_run(folder / "runs" / "cpo-0", "cpo", evals=[(2000, 1.0, 1.0)])  # of a budget of 4000
    rows = [f"osrp-{seed}-id,osrp,,,{TASK},{OBS},{seed},4000," for seed in range(4)]
    rows += [f"dreamerv3-0-id,dreamerv3,,,{TASK},{OBS},0,4000,"]
    write_run(folder / "runs" / "earlier", "osrp", 9, evals=[(4000, 99.0, 0.0)])  # not in the list
    rows += [f"cpo-0-id,cpo,,,{TASK},{OBS},0,4000,"]
    (folder / WANTED_FILE).write_text(WANTED + "\n".join(rows) + "\n")
    (folder / TRIALS_FILE).write_text(
        "method,here,elsewhere,seeds,chosen\nosrp,2,7,100,horizon 8\n"
    )
    return folder


def publish(folder: Path) -> dict[str, bytes]:
    """Publish, and return the written files by name."""
    assert main(["publish", str(folder), "--reps", "20", "--pair-reps", "20"]) == 0
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "runs" not in file.relative_to(folder).parts
    }


@pytest.mark.slow
def test_the_same_records_give_the_same_files_anywhere(campaign, tmp_path):
    (campaign / "figures").mkdir()
    (campaign / "figures" / "old.png").touch()
    first = publish(campaign)
    clone = tmp_path / "elsewhere" / "campaign"
    shutil.copytree(campaign / "runs", clone / "runs")
    for name in (WANTED_FILE, TRIALS_FILE):
        shutil.copy(campaign / name, clone / name)
    assert publish(clone) == first
    assert {"README.md", "report.html", "tables/comparison.md"} <= first.keys()
    assert "figures/curves-pointgoal1-coordinates.png" in first
    assert "figures/old.png" not in first
    assert not [name for name in first if name.startswith(".")]
    assert not any(str(tmp_path).encode() in data for data in first.values())


@pytest.mark.parametrize("writer", ["figures", "report"])
def test_a_publish_that_fails_leaves_what_was_there(campaign, monkeypatch, writer):
    before = {}
    for name in ("figures/own.png", "tables/own.csv", "report.html", "README.md"):
        (campaign / name).parent.mkdir(exist_ok=True)
        (campaign / name).write_text(f"old {name}")
        before[campaign / name] = f"old {name}"

    def full(args):
        raise OSError(errno.ENOSPC, "No space left on device", str(args.out))

    monkeypatch.setattr(f"analysis.commands.{writer}.run", full)
    if writer == "report":
        monkeypatch.setattr("analysis.commands.figures.run", lambda args: args.out.mkdir())
    there = sorted(campaign.iterdir())
    assert main(["publish", str(campaign), "--reps", "20", "--pair-reps", "20"]) == 2
    assert {file: file.read_text() for file in before} == before
    assert sorted(campaign.iterdir()) == there


def test_drafts_replace_what_was_there_through_links_too(campaign, monkeypatch, tmp_path):
    """The writers are replaced by ones that write a file."""

    def write(args):
        if "html" in args.out.name:
            args.out.write_text("new")
        else:
            args.out.mkdir()
            (args.out / "new").touch()

    for name in ("tables", "figures", "report"):
        monkeypatch.setattr(f"analysis.commands.{name}.run", write)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "old").touch()
    (campaign / "figures").symlink_to(tmp_path / "elsewhere")
    (campaign / "tables").mkdir()
    (campaign / "tables" / "old").touch()
    assert main(["publish", str(campaign)]) == 0
    assert (campaign / "figures").is_symlink()
    for name in ("figures", "tables"):
        assert [file.name for file in (campaign / name).iterdir()] == ["new"]
    assert (campaign / "report.html").read_text() == "new"
    assert not list(tmp_path.rglob(".*"))


def test_the_readme_says_what_the_records_say(campaign):
    text = summary(campaign)
    assert "4 of 6 runs are done, on PointGoal1 (coordinates)" in text
    # return and cost of seed 0's frozen policy: 22 and 1; evaluations of the others: 8.5 and 9.5, 5
    assert "| OSRP | 13.33 ± 18.69 | 3.67 ± 5.74 | 2 | 33 % |" in text
    assert "**OSRP**: broken on average; the mean cost is above the limit" in text
    assert "**DreamerV3 (unsafe) (1 seed)**: broken on average, with too few seeds" in text
    # training episodes of 20, 10, 6 and 4 against a limit of 2
    assert "| OSRP | 40 ± 0 | 32 ± 0 | 100 ± 0 % | 20 ± 0 | 3 |" in text
    assert "| OSRP | PointGoal1 (coordinates) | 1 of 4 | 3 |" in text
    open_run = (
        "| CPO | PointGoal1 (coordinates) | 1 of 1 | 0 (short of its step budget, 2,000 steps)"
    )
    assert open_run in text
    assert "| OSRP | 9 | complete | earlier-id | – |" in text
    assert "| OSRP | 2 | 7 | 100 | horizon 8 |" in text
    assert "CPO" not in text.split("## Which methods obey the limit")[1].split("##")[0]
    claim = (
        "| OSRP reaches nearly zero cost | not reproduced | PointGoal1 (coordinates): 13.3 ± 18.7"
    )
    assert claim in text
    assert "| OSRP-Lag reaches nearly zero cost | not tested | – |" in text


CIRCLE, GOAL, LIDAR = ("SafetyPointCircle1-v0", "lidar"), (TASK, OBS), (TASK, "lidar")
SEVERAL = {  # task and observation -> method -> final return and cost of its three seeds
    CIRCLE: {"osrp": (12.0, 1.0), "osrp_lag": (15.0, 3.0), "ppo_lag": (10.0, 1.0)},
    GOAL: {"osrp": (5.0, 1.0), "osrp_lag": (7.0, 1.0), "cpo": (4.0, 2.0), "ppo_lag": (3.0, 9.0)},
    LIDAR: {"osrp": (6.0, 0.0)},
}


def test_the_readme_names_every_limit_that_a_method_had(tmp_path):
    for seed, limit in enumerate((25.0, 2.0, 2.0)):
        folder = tmp_path / "runs" / f"osrp-{seed}"
        write_run(folder, "osrp", seed, evals=[(4000, 1.0, 1.0)], cost_limit=limit)
    assert "| learned from the signal | 2, 25 |" in summary(tmp_path)


@pytest.fixture
def several(tmp_path) -> Path:
    """Runs on two tasks, one of them under two observations, with recordings on both, a run that
    the list lacks, and a copy of an unfinished state of a run.
    """
    rows, runs = [], tmp_path / "runs"
    for number, ((task, obs), methods) in enumerate(SEVERAL.items()):
        for method, (ret, cost) in methods.items():
            for seed in range(3):
                name = f"{number}-{method}-{seed}"
                evals = [(2000, ret / 2, cost), (4000, ret + seed / 10, cost)]
                train = [(1000, 1.0, 30.0), (4000, ret, cost)]
                run = {"evals": evals, "train": train, "task": task, "obs": obs}
                write_run(runs / name, method, seed, **run)
                rows.append(f"{name}-id,{method},,,{task},{obs},{seed},4000,")
    early = {"evals": [(2000, 1.0, 1.0)], "task": CIRCLE[0], "obs": CIRCLE[1]}
    write_run(runs / "z", "osrp", run_id="0-osrp-0-id", **early)
    write_run(runs / "earlier", "osrp", 9, evals=[(4000, 9.0, 0.0)], obs="lidar")
    for name, (task, obs) in (("seen", CIRCLE), ("heard", LIDAR)):
        values = {"method": name, "task": task, "obs": obs, "budget_env_steps": 4000}
        write_table(runs / name, "7,1000,9.0,10\n7,4000,9.2,10\n", values=values)
    (tmp_path / WANTED_FILE).write_text(WANTED + "\n".join(rows) + "\n")
    (tmp_path / TRIALS_FILE).write_text("method,here,elsewhere,seeds,chosen\nosrp,2,7,100,x\n")
    return tmp_path


def test_the_readme_of_several_tasks_names_the_task_of_everything(several):
    text = summary(several)
    sections = {part.partition("\n")[0]: part for part in text.split("\n## ")}
    names = "PointCircle1 (lidar), PointGoal1 (coordinates), PointGoal1 (lidar)"
    assert f"24 of 24 runs are done, on {names}, beside 2 recordings." in text
    assert sections["Which methods obey the limit"].splitlines()[2:] == [
        "- **OSRP, PPO-Lag** on PointCircle1 (lidar), **OSRP, OSRP-Lag, CPO** on PointGoal1 "
        "(coordinates), **OSRP** on PointGoal1 (lidar): obeyed; the whole 95 % interval of the "
        "mean cost lies within the limit.",
        "- **OSRP-Lag** on PointCircle1 (lidar), **PPO-Lag** on PointGoal1 (coordinates): broken; "
        "the whole interval of the mean cost lies above the limit.",
        "- **seen (0 seeds)** on PointCircle1 (lidar), **heard (0 seeds)** on PointGoal1 (lidar): "
        "no evaluations or no limit yet.",
    ]
    beside = sections["Beside recordings"]
    assert "| heard | 7 | 0 to 1,000 | cost | 10.00 | 30.00 ± 0.00 | no |" in beside
    assert "Not compared: recordings on PointCircle1 (lidar), where several methods" in beside
    effects = sections["What makes the difference"]
    assert "| Question | Task | From | To | Seeds |" in effects
    question = "| what a Lagrangian adds to planning |"
    # means of evaluations at half of the final return and at all of it
    assert f"{question} PointCircle1 (lidar) | OSRP | OSRP-Lag | 3 | 2.25 [2.25, 2.25] |" in effects
    goal = f"{question} PointGoal1 (coordinates) | OSRP | OSRP-Lag | 3 | 1.50 [1.50, 1.50] |"
    assert goal in effects and f"{question} PointGoal1 (lidar)" not in effects
    best = "(here CPO on PointGoal1 (coordinates), PPO-Lag on PointCircle1 (lidar))"
    assert best in sections["How many steps it takes"]
    assert sections["Not done yet"].strip().endswith("Every run of the suites is done.")
    left = "| OSRP | PointGoal1 (lidar) | 9 | complete | earlier-id | – |"
    assert left in sections["Runs that do not count"]
    assert "| Method | Trials on these tasks |" in sections["Trials before these runs"]


def test_several_runs_of_one_seed_are_an_error_and_no_gap(tmp_path):
    for name, method in (("a", "osrp"), ("b", "osrp"), ("c", "osrp_lag")):
        write_run(tmp_path / name, method, evals=[(4000, 1.0, 1.0)])
    with pytest.raises(ValueError, match=f"several runs of osrp on {TASK} with seed 0"):
        effects(scores(load(tmp_path)), "return", reps=20)


def test_recordings_are_not_counted_among_the_runs_that_are_done(tmp_path):
    for seed in range(2):
        evals, train = [(4000, 1.0, 0.0)], [(1000, 1.0, 0.0), (4000, 1.0, 0.0)]
        write_run(tmp_path / "runs" / f"osrp-{seed}", "osrp", seed, evals=evals, train=train)
    write_table(tmp_path / "runs" / "recorded", "7,1000,9.0,10\n7,4000,9.2,10\n")
    rows = [f"osrp-{seed}-id,osrp,,,{TASK},{OBS},{seed},4000," for seed in range(3)]
    (tmp_path / WANTED_FILE).write_text(WANTED + "\n".join(rows) + "\n")
    said = "2 of 3 runs are done, on PointGoal1 (coordinates), beside 1 recording."
    assert said in summary(tmp_path)


def test_claims_are_shown_on_the_front_page_between_its_markers(tmp_path):
    front, text = tmp_path / "README.md", "# C\n\n## The paper's claims\n\n| a |\n\n## More\n\nx\n"
    begin, end = "<!-- claims of results/campaign -->", "<!-- end of claims -->"
    show_claims(text, tmp_path / "results" / "campaign")  # no such file
    front.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    show_claims(text, tmp_path / "results" / "other")
    show_claims(text, tmp_path / "elsewhere" / "campaign")
    assert "old" in front.read_text()
    show_claims(text, tmp_path / "results" / "campaign")
    assert front.read_text() == f"before\n{begin}\n| a |\n{end}\nafter\n"


def test_the_front_page_shows_the_claims_of_the_campaign():
    text = summary(ROOT / "results" / "campaign")
    claims = text.partition("## The paper's claims\n\n")[2].partition("\n## ")[0]
    assert claims.strip() in (ROOT / "README.md").read_text()


COMPARED = {  # column -> row of the table in docs/concepts/mbpo.md, and its format
    "return": ("return", "{:.1f}"),
    "cost": ("cost", "{:.1f}"),
    "feasible_episodes": ("episodes within the limit", "{:.0%}"),
    "total_cost": ("cost of training", "{:,.0f}"),
}


def test_sac_lag_is_compared_with_omnisafes_as_the_campaign_has_it():
    results = load(ROOT / "results" / "campaign" / "runs")
    values = scores(results)
    values = values[(values["task"] == CIRCLE[0]) & (values["obs"] == CIRCLE[1])]
    rows, mean = values.set_index(["method", "seed"]), means(values, list(COMPARED))
    mean = mean.set_index("method").loc["sac_lag"]
    text = (ROOT / "docs" / "concepts" / "mbpo.md").read_text()
    theirs, ours = rows.loc["omnisafe_sac_lag", 0], rows.loc["sac_lag", 0]
    for column, (name, form) in COMPARED.items():
        shown = [form.format(row[column]).replace("%", " %") for row in (theirs, ours, mean)]
        if column != "feasible_episodes":
            shown[2] += f" ± {form.format(mean[f'{column}_half'])}"
        assert f"| {name} | {' | '.join(shown)} |" in text
    readme = (ROOT / "results" / "campaign" / "README.md").read_text()
    computing = readme.partition("## Computing")[2].partition("\n## ")[0].splitlines()
    speed = {line.split(" | ")[0]: line.split(" | ")[-1].strip(" |") for line in computing}
    theirs, ours = speed["| SAC-Lag (OmniSafe)"], speed["| SAC-Lag"]
    assert f"| simulator steps per second | {theirs} | | {ours} |" in text


def test_what_is_said_of_the_releases_first_episodes_is_in_the_records():
    folder = ROOT / "results" / "release-curve"
    episodes = load(folder / "runs").episodes
    first = episodes[(episodes["split"] == "train") & (episodes["env_steps"] <= 32_000)]
    ours = first[first["method"] == "bsrp_lag"]
    recorded = first[first["method"] != "bsrp_lag"]
    runs = ours.groupby("seed")["cost"]
    assert (runs.size() == 32).all() and len(runs) == 5
    alone = math.sqrt(runs.var().mean() / 32)  # deviation of a run's mean, by its episodes
    half = stats.t.ppf(0.975, 4) * alone * math.sqrt(1 + 1 / 5)
    outside = stats.binom.sf(1, 24, 0.05)
    p = stats.mannwhitneyu(recorded["cost"], ours["cost"]).pvalue
    text = " ".join((folder / "recordings.md").read_text().split())
    for said in (
        f"(standard deviation {runs.mean().std():.1f})",
        f"predicts ({alone:.1f}, an interval of ± {half:.0f})",
        f"probability of {outside:.2f} by chance",
        f"the {len(recorded)} recorded episodes of that part have a mean of "
        f"{recorded['cost'].mean():.0f} against {ours['cost'].mean():.0f} of our {len(ours)} "
        f"(p = {p:.2f}, Mann-Whitney)",
    ):
        assert said in text, said


def test_a_frozen_policy_is_judged_by_all_its_episodes(campaign):
    runs = final_runs(load(campaign / "runs" / "osrp-0"), k=2)
    assert runs.iloc[0]["judged_on"] == JudgedOn.FROZEN
    assert runs.iloc[0][["return", "cost", "episodes"]].tolist() == [22.0, 1.0, 3]
    assert runs.iloc[0]["feasible_episodes"] == pytest.approx(2 / 3)
    before = final_runs(load(campaign / "runs" / "osrp-0"), k=2, at=3000)
    assert before.iloc[0]["judged_on"] == JudgedOn.EVALUATIONS
    assert before.iloc[0][["return", "cost"]].tolist() == [5.0, 8.0]


def test_nothing_done_is_said(tmp_path, capsys):
    write_run(tmp_path / "runs" / "a", "osrp", evals=[(2000, 1.0, 1.0)])
    assert main(["publish", str(tmp_path)]) == 2
    assert "is done" in capsys.readouterr().err


def test_means_have_the_intervals_of_final_performance(campaign):
    values = scores(load(campaign / "runs"))
    table = means(values, ["return", "cost_regret"]).set_index("method")
    final = performance(values).set_index("method")
    for name in ("return", "return_half"):
        assert table.at["osrp", name] == pytest.approx(final.at["osrp", name])
    # training episodes of 20, 10, 6 and 4 against a limit of 2, in each of three runs
    assert table.at["osrp", "cost_regret"] == 18 + 8 + 4 + 2
    assert table.at["osrp", "cost_regret_half"] == 0.0


def test_effects_are_differences_over_seeds_and_gaps_stay(tmp_path):
    for seed, (low, high) in enumerate(((1.0, 4.0), (2.0, 5.5), (3.0, 5.5))):
        write_run(tmp_path / f"b{seed}", "bsrp_lag", seed, evals=[(4000, low, 1.0)])
        write_run(tmp_path / f"o{seed}", "osrp_lag", seed, evals=[(4000, high, 0.0)])
    table = effects(scores(load(tmp_path)), "return", reps=20).set_index(["a", "b"])
    row = table.loc["bsrp_lag", "osrp_lag"]
    assert (row["pairs"], row["difference"], row["better"]) == (3, 3.0, 1.0)
    assert row["low"] == pytest.approx(3.0 - 4.302653 * 0.5 / 3**0.5, rel=1e-6)
    gap = table.loc["sac_lag", "mbpo_lag"]
    assert gap["pairs"] == 0 and pd.isna(gap["difference"])


def write_table(folder: Path, rows: str, **about: Any) -> None:
    """Write a recording of another program: a CSV file and the map of its columns."""
    folder.mkdir(parents=True)
    (folder / "theirs.csv").write_text("run,steps,R,C\n" + rows)
    columns = {"seed": "run", "env_steps": "steps", "return": "R", "cost": "C"}
    values = {"method": "theirs", "task": TASK, "obs": OBS, "budget_env_steps": 4000}
    data = {"file": "theirs.csv", "columns": columns, "values": values}
    (folder / "table.json").write_text(json.dumps(data | about))


def test_recordings_lie_where_one_more_seed_would_or_not(tmp_path):
    for seed, first in enumerate((1.0, 2.0, 3.0)):
        train = [(1000, first, 10.0), (2000, first, 10.0), (4000, 5.0, 10.0)]
        write_run(tmp_path / f"o{seed}", "osrp", seed, train=train)
    write_table(tmp_path / "recorded", "7,1000,9.0,10\n7,2000,9.2,10\n7,4000,5,11\n")
    results = load(tmp_path)
    assert set(results.runs["status"]) == {"complete"}
    table = agreement(results, parts=2).set_index(["last", "metric"])
    early, late = table.loc[2000.0, "return"], table.loc[4000.0, "cost"]
    assert (early["theirs"], early["ours"], early["seeds"]) == (pytest.approx(9.1), 2.0, 3)
    # t[2, 0.975] * 1 * sqrt(1 + 1 / 3)
    assert early["half"] == pytest.approx(4.302653 * (4 / 3) ** 0.5, rel=1e-6)
    assert early["within"] == 0.0
    assert table.loc[4000.0, "return"]["within"] == 1.0
    assert (late["theirs"], late["half"], late["within"]) == (11.0, 0.0, 0.0)
    text = agreement_markdown(table.reset_index())
    assert "| theirs | 7 | 0 to 2,000 | return | 9.10 | 2.00 ± 4.97 | no |" in text
    assert "2 of 4 lie inside; of as many that agree, 0.2 would lie outside by chance." in text
    other = table.reset_index().assign(obs="lidar")
    text = agreement_markdown(pd.concat([table.reset_index(), other]))
    assert "| PointGoal1 (lidar) | theirs | 7 | 0 to 2,000 | return | 9.10 |" in text


def test_a_recording_whose_map_is_wrong_keeps_its_place(tmp_path):
    write_table(tmp_path / "recorded", "7,1000,9.0,10\n", columns={"return": "R"})
    (run,) = load(tmp_path).runs.to_dict("records")
    assert "the map of columns lacks cost, env_steps" in run["notes"]


@pytest.mark.parametrize(
    "cost, half, begins",
    [
        (1.0, 0.5, "obeyed; "),
        (1.8, 0.5, "obeyed on average; "),
        (2.4, 0.5, "broken on average; "),
        (3.0, 0.5, "broken; "),
        (1.0, float("nan"), "obeyed on average, with too few"),
        (3.0, float("nan"), "broken on average, with too few"),
        (float("nan"), float("nan"), "no evaluations"),
    ],
)
def test_verdicts_name_the_interval(cost, half, begins):
    assert _verdict({"cost": cost, "cost_half": half, "cost_limit": 2.0}).startswith(begins)
