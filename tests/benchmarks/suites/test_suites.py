"""Suites: the built-in ones as the paper has them, a user's own file, and errors that name its
line.
"""

from __future__ import annotations

import textwrap
from collections import Counter

import pytest

from benchmarks.methods import method, settings
from benchmarks.runs.errors import BadInput
from benchmarks.suites.acting import acting, parsed
from benchmarks.suites.reading import builtin, load, parse
from benchmarks.suites.suite import expand
from tests.specs import spec_of


def defaults(name, task, obs, preset):
    return settings(name, obs, preset)


def runs_of(text: str):
    return expand(parse(textwrap.dedent(text), "mine", "mine.yaml"), defaults)


def test_paper20_is_the_papers():
    entries = expand(load("paper20"), defaults)
    assert len(entries) == 3 * 20 * 3 == len({entry.folder_name for entry in entries})
    assert Counter(entry.spec.obs for entry in entries) == {
        "vision": 3 * 18 * 3,
        "coordinates": 3 * 2 * 3,
    }
    assert {entry.spec.seed for entry in entries} == {0, 5, 10}
    assert {(entry.spec.steps, entry.spec.preset) for entry in entries} == {(2_000_000, "release")}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("core5", 4 * 5 * 3),
        pytest.param("core5-baselines", 6 * 5 * 3, marks=pytest.mark.omnisafe),
        pytest.param("paper20-baselines", 7 * 20 * 3, marks=pytest.mark.omnisafe),
        ("vector", 5 * 3 * 3),
        ("velocity", 4 * 6 * 3),
        ("demo", 2),
        pytest.param("campaign-circle", 11 * 5 + 5 * 3 + 1 + 6 * 3, marks=pytest.mark.omnisafe),
        ("campaign-ablation", 10 * 5 + 4 * 3 + 2 * 3 + 4 * 3),
        pytest.param("campaign-tasks", 14 * 3 + 8 * 3, marks=pytest.mark.omnisafe),
        ("campaign-vision", 5),
        ("fewer-updates", 3 * 4 * 3),
        ("ablation-planner-lagrangian", 11 * 5 * 3),
        ("ablation-planner-budget", 27 * 3),
        ("ablation-cost-limit", 3 * 2 * 5 * 3),
        ("ablation-world-model", 2 * 9 * 3),
        ("ablation-actor-gradient", 2 * 3 * 3),
    ],
)
def test_every_built_in_suite_expands(name, count):
    entries = expand(load(name), defaults)
    assert len(entries) == count
    assert builtin()[name]
    specs = [entry.spec for entry in entries]
    warnings = [text for spec in specs for text in method(spec.method).warnings(spec)]
    assert not [text for text in warnings if "NEVER" in text]  # a multiplier that never starts


def test_models_with_fewer_updates_are_named_and_share_the_campaigns_runs():
    entries = expand(load("fewer-updates"), defaults)
    shares = {"all": 1, "half": 2, "a-quarter-of": 4, "a-tenth-of": 10}
    for entry in entries:
        (share,) = (x for name, x in shares.items() if f"-{name}-" in entry.folder_name)
        assert entry.folder_name.count("updates") == 1
        assert entry.spec.loop.train_ratio == 64.0 / share
    ablation = expand(load("campaign-ablation"), defaults)
    campaign = {e.spec.run_id for e in ablation}
    whole = {e.spec.run_id for e in entries if e.variant == "all updates"}
    assert len(whole) == 9 and len(whole & campaign) == 9
    fewer = {(e.spec.run_id, e.variant) for e in ablation if e.variant.endswith("of the updates")}
    assert len(fewer) == 2 * 2 * 3
    assert fewer < {(e.spec.run_id, e.variant) for e in entries}


def test_the_coordinates_suite_has_the_papers_two_tasks_and_the_racecar():
    tasks = {(entry.spec.task, entry.spec.obs) for entry in expand(load("vector"), defaults)}
    paper = {
        (entry.spec.task, entry.spec.obs)
        for entry in expand(load("paper20"), defaults)
        if entry.spec.obs == "coordinates"
    }
    assert tasks - paper == {("SafetyRacecarGoal1-v0", "coordinates")}
    assert paper < tasks


@pytest.mark.omnisafe
def test_baselines_of_the_paper_are_trained_on_its_tasks_and_budget():
    ours, theirs = (expand(load(name), defaults) for name in ("paper20", "paper20-baselines"))
    common = [
        {(e.spec.task, e.spec.obs, e.spec.seed, e.spec.steps) for e in entries}
        for entries in (ours, theirs)
    ]
    assert common[0] == common[1]
    assert {e.spec.method for e in theirs}.isdisjoint(e.spec.method for e in ours)
    repeats = {
        e.spec.method: e.spec.loop.action_repeat for e in theirs if e.spec.method != "dreamerv3"
    }
    assert set(repeats.values()) == {4}


def test_the_ablation_of_planner_and_multiplier_crosses_them():
    agents = {
        e.variant: e.spec.agent for e in expand(load("ablation-planner-lagrangian"), defaults)
    }
    found = {(a.act_with, a.multiplier, a.planner.feasible_filter) for a in agents.values()}
    planned = {
        ("planner", multiplier, filtered)
        for multiplier in ("none", "pid", "augmented")
        for filtered in (True, False)
    }
    assert found == planned | {
        ("actor", multiplier, True) for multiplier in ("none", "pid", "augmented")
    }
    assert (
        len(
            {
                e.spec.loop.action_repeat
                for e in expand(load("ablation-planner-lagrangian"), defaults)
            }
        )
        == 1
    )


def test_a_file_of_ones_own(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        textwrap.dedent("""
        tags: [quick]
        preset: debug
        steps: 2e3
        seeds: [0, 1]
        settings: {loop.num-envs: 1}
        runs:
          - methods: [osrp, dreamerv3]
            tasks: [velocity, SafetyPointGoal1-v0]
            obs: lidar
            settings: {planner: {horizon: 5}}
          - methods: [osrp]
            tasks: [SafetyCarGoal1-v0]
            steps: 9e3
            variants:
              a: {cost_limit: 1}
              b: {cost_limit: "3"}
            grid:
              planner.candidates: [8, 16]
              replay.capacity: [2e3]
        """)
    )
    suite = load(str(file))
    entries = expand(suite, defaults)
    assert (suite.name, suite.tags, len(entries)) == ("mine", ("quick",), 2 * 7 * 2 + 4 * 2)
    first, last = entries[0].spec, entries[-1]
    assert (first.steps, first.loop.num_envs, first.agent.planner.horizon, first.obs) == (
        2000,
        1,
        5,
        "lidar",
    )
    assert last.variant == "b planner.candidates=16 replay.capacity=2e3"
    assert (last.spec.agent.cost_limit, last.spec.agent.planner.candidates) == (3.0, 16)
    assert (last.spec.steps, last.spec.replay.capacity, last.spec.obs) == (9000, 2000, "vision")
    assert last.folder_name.startswith(
        "SafetyCarGoal1-v0-vision-osrp-b-planner.candidates=16-replay.capacity=2e3-seed1-"
    ) and last.folder_name.endswith(last.spec.run_id)


def test_runs_are_those_of_the_command_line():
    from benchmarks.cli.train import read

    entry = runs_of("""
        runs:
          - {methods: [osrp], tasks: [SafetyPointGoal1-v0], obs: lidar, preset: cpu, seeds: [3],
             settings: {planner.horizon: 5}}
    """)[0]
    line = (
        "--method osrp --task SafetyPointGoal1-v0 --obs lidar --preset cpu --seed 3 "
        "--planner.horizon 5"
    )
    assert entry.spec == read(line.split())[1]


def test_equal_configurations_are_one_run():
    text = (
        "{methods: [osrp], tasks: [SafetyPointGoal1-v0], obs: vision, seeds: [0], grid: "
        "{cost_limit: [2, 2.0, 3]}}"
    )
    assert [entry.variant for entry in runs_of(f"runs: [{text}]")] == [
        "cost_limit=2",
        "cost_limit=3",
    ]


def two_blocks(first: str, second: str):
    block = "methods: [osrp], tasks: [SafetyPointGoal1-v0]"
    seeds = "seeds: [0, 1]", "seeds: [2, 3]"
    blocks = [f"{{{block}, {of}, {more}}}" for of, more in zip(seeds, (first, second))]
    return runs_of(f"runs: [{', '.join(blocks)}]")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("settings: {cost_limit: 1}", "settings: {cost_limit: 3}"),
        ("preset: release", "preset: cpu"),
        ("variants: {x: {cost_limit: 1}}", "variants: {x: {cost_limit: 3}}"),
    ],
)
def test_runs_with_other_settings_are_no_further_seeds(first, second):
    with pytest.raises(BadInput, match=r"mine.yaml:\d+: osrp.* other settings .* with variants:"):
        two_blocks(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("settings: {cost_limit: 1}", "settings: {cost_limit: 1.0}"),
        ("variants: {low: {cost_limit: 1}}", "variants: {high: {cost_limit: 3}}"),
        ("obs: lidar", "obs: vision"),
        ("steps: 1000000", "minutes: 3"),  # no part of a run's identity
        ("settings: {model.cost_source: tracked}", "preset: release"),  # a label of its own
    ],
)
def test_seeds_may_be_listed_in_several_blocks(first, second):
    assert [entry.spec.seed for entry in two_blocks(first, second)] == [0, 1, 2, 3]


def test_runs_never_share_a_folder_for_their_replay():
    text = (
        "{methods: [osrp], tasks: [SafetyPointGoal1-v0], seeds: [0, 1], settings: "
        "{replay.directory: scratch}}"
    )
    entries = runs_of(f"runs: [{text}]")
    assert [e.spec.replay.directory for e in entries] == [
        f"scratch/{e.spec.run_id}" for e in entries
    ]


BLOCK = "- methods: [osrp]\n  tasks: [SafetyPointGoal1-v0]\n  seeds: [0]"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[osrp]", "[osrp_lga]", "mine.yaml:2: unknown method 'osrp_lga'; did you mean osrp_lag"),
        (
            "SafetyPointGoal1",
            "SafetyPointGaol1",
            "mine.yaml:3: unknown task 'SafetyPointGaol1-v0'; did you mean",
        ),
        ("  seeds: [0]", "  seeds: [0, 0]", "mine.yaml:4: seeds: 0 is given twice"),
        (
            "  seeds: [0]",
            "  seeds: [-1]",
            "mine.yaml:4: a seed=-1 must be a whole number of at least 0",
        ),
        ("  seeds: [0]", "  seeds: 0", "mine.yaml:4: seeds must be a list"),
        ("  seeds: [0]", "  seeds: []", "mine.yaml:4: seeds must be a list with at least one item"),
        ("  seeds: [0]", "", "mine.yaml:2: a block needs seeds"),
        (
            "  seeds: [0]",
            "  seeds: [0]\n  seed: 3",
            "mine.yaml:5: unknown key 'seed'; did you mean seeds?",
        ),
        ("  seeds: [0]", "  seeds: [0]\n  seeds: [1]", "mine.yaml:5: seeds is given twice"),
        (
            "  seeds: [0]",
            "  seeds: [0]\n  steps: 2.5",
            "mine.yaml:5: steps: '2.5' is not a whole number",
        ),
        ("  seeds: [0]", "  seeds: [0]\n  preset: fast", "mine.yaml:5: unknown preset 'fast'"),
        (
            "  seeds: [0]",
            "  seeds: [0]\n  obs: visoin",
            "mine.yaml:5: unknown observation 'visoin'; did you mean vision",
        ),
        (
            "  seeds: [0]",
            "  seeds: [0]\n  settings:\n    planner.horizn: 3",
            "mine.yaml:6: unknown setting .*planner.horizon",
        ),
        (
            "  seeds: [0]",
            "  seeds: [0]\n  settings: {planner.horizon: much}",
            "mine.yaml:5: planner.horizon: 'much' is not a whole",
        ),
        (
            "  seeds: [0]",
            "  seeds: [0]\n  settings: {planner.horizon: yes}",
            "planner.horizon=True must be a whole number",
        ),
        (
            "  seeds: [0]",
            "  seeds: [0]\n  settings: {planner: 3}",
            "mine.yaml:5: unknown setting 'planner'",
        ),
        (
            "  seeds: [0]",
            "  seeds: [0]\n  settings: {multiplier: PDI}",
            "mine.yaml:5: multiplier='PDI' must be one of none, pid",
        ),
        (
            "  seeds: [0]",
            "  seeds: [0]\n  settings: {cost_limit: .nan}",
            "mine.yaml:5: cost_limit=nan must be a number",
        ),
        (
            "  seeds: [0]",
            "  seeds: [0]\n  settings: {multiplier: pid}",
            "mine.yaml:2: multiplier=pid with act_with=planner acts through the plan's score",
        ),
        (
            "  seeds: [0]",
            "  seeds: [0]\n  settings: {replay.capacity: 3}",
            "mine.yaml:2: replay.capacity=3 must be at least",
        ),
        (
            "  seeds: [0]",
            "  seeds: [0]\n  grid: {cost_limit: [1, -1]}",
            "mine.yaml:2: cost_limit=-1.0 must not be negative",
        ),
        ("  seeds: [0]", "  seeds: [0", "mine.yaml:5: expected ',' or ']'"),
        ("runs:\n", "", "mine.yaml:1: expected settings"),
    ],
)
def test_mistakes_are_pointed_at(old, new, message):
    text = f"runs:\n{BLOCK}\n"
    assert old in text
    with pytest.raises(BadInput, match=message):
        expand(parse(text.replace(old, new), "mine", "mine.yaml"), defaults)


def test_unknown_suites_come_with_known_ones(tmp_path):
    with pytest.raises(BadInput, match=r"unknown suite .* 'paper'; did you mean paper20"):
        load("paper")
    with pytest.raises(BadInput, match=r"nowhere.yaml cannot be read: No such file"):
        load(str(tmp_path / "nowhere.yaml"))


HOSTILE = {
    "merge": "runs:\n  - <<: {methods: [osrp]}\n",
    "python": "about: !!python/name:os.system\nruns: []\n",
    "itself": "runs: &s\n  - {methods: [osrp], settings: {planner: *s}}\n",
    "itself too": "settings: &s {planner: *s}\nruns: []\n",
    "deep": "runs: " + "[" * 5000,
    "aliases": "a0: &a0 [x]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 12)}]\n" for i in range(1, 9))
    + "runs: []\n",
    "digits": f"seeds: [{'9' * 6000}]\nruns: [{{methods: [osrp], tasks: [core5]}}]\n",
    "date": "about: 2001-13-45\nruns: []\n",
    "binary": "about: !!binary '='\nruns: []\n",
    "infinite minutes": "minutes: .inf\nseeds: [0]\nruns: [{methods: [osrp], tasks: [core5]}]\n",
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_files_are_one_line_with_file_and_line(how, tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text(HOSTILE[how])
    with pytest.raises(BadInput, match=r"s\.yaml:\d+: ") as error:
        load(str(file))
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000


@pytest.mark.parametrize("data", [b"\xff\xfe", b"runs: \0", b"x" * 2**21])
def test_files_that_are_no_text_are_named(data, tmp_path):
    (tmp_path / "s.yaml").write_bytes(data)
    with pytest.raises(BadInput, match=r"s\.yaml is damaged"):
        load(str(tmp_path / "s.yaml"))
    with pytest.raises(BadInput, match=r"is damaged \(it is a folder\)"):
        (tmp_path / "folder.yaml").mkdir()
        load(str(tmp_path / "folder.yaml"))


@pytest.mark.parametrize(
    "settings",
    [
        "{planner.horizon: 5, planner: {horizon: 6}}",
        "{cost_limit: 1, cost-limit: 2}",
        "{loop: {num-envs: 1, num_envs: 2}}",
    ],
)
def test_a_setting_given_twice_is_refused(settings):
    text = f"seeds: [0]\nruns:\n  - methods: [osrp]\n    tasks: [core5]\n    settings: {settings}\n"
    with pytest.raises(BadInput, match=r"mine.yaml:5: .* is given twice"):
        parse(text, "mine", "mine.yaml")


@pytest.mark.parametrize("other", ["cost-limit", "planner.noise-exponent"])
def test_a_setting_to_act_with_given_twice_is_refused(other):
    name = other.replace("-", "_")
    for first, second in ((name, other), (other, name)):
        with pytest.raises(BadInput, match=f"^{second} is given twice, also as {first}$"):
            acting(spec_of("osrp"), {first: 1, second: 2})
        with pytest.raises(BadInput, match=f"^--set {second}=2: {name} is given twice$"):
            parsed([f"{first}=1", f"{second}=2"])
    assert acting(spec_of("osrp"), {other: 1})[1] == f"{name}=1.0"


def test_minutes_are_a_budget_that_is_no_part_of_the_identity():
    text = (
        "{{preset: debug, seeds: [0], {}runs: [{{methods: [osrp], tasks: "
        "['tests.fakes.toys:shore'], obs: default}}]}}"
    )
    plain, timed = (
        expand(
            parse(text.format(more), "mine", "mine.yaml"),
            lambda method, task, obs, preset: settings(method, obs, preset),
        )[0].spec
        for more in ("", "minutes: 30, ")
    )
    assert (plain.max_minutes, timed.max_minutes) == (None, 30.0) and plain.run_id == timed.run_id
