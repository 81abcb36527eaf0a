"""The report page: its text, and that a real browser draws its curves, toggles them and shows their
values without errors.
"""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.commands.main import main
from analysis.figures import style
from analysis.figures.gallery import GalleryConfig
from analysis.read import load
from analysis.report import page, payload
from benchmarks.runs.files import RECORDS_FILE
from benchmarks.runs.records import EVAL_SAMPLED, FINAL, EpisodeRecord, RecordWriter
from tests.analysis_runs import OBS, TASK, write_run, write_sweep
from tests.chromium import Page

FEW = page.PageConfig(title="A <test>", gallery=GalleryConfig(reps=20, pair_reps=20))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three seeds of OSRP, one of DreamerV3, one run that never started, a second task, a variant
    and a video.
    """
    folder = write_sweep(tmp_path_factory.mktemp("sweep"))
    write_run(folder / "cem-0", "cem")
    write_run(
        folder / "other",
        "osrp",
        task="SafetyCarGoal1-v0",
        evals=[(2000, 1.0, 0.0), (4000, 2.0, 0.5)],
    )
    variant = write_run(folder / "variant", "osrp", evals=[(2000, 3.0, 0.0), (4000, 4.0, 0.0)])
    (variant / "sweep.json").write_text(
        json.dumps({"variant": "planner.horizon=5", "suites": [], "tags": []})
    )
    (folder / "osrp-0" / "episode-0.mp4").write_bytes(b"no film")
    return folder


@pytest.fixture(scope="module")
def written(folder) -> Path:
    out = folder / "report.html"
    out.write_text(page.page(load.load([folder]), out, [folder], FEW), encoding="utf-8")
    return out


@pytest.fixture
def without_figures(monkeypatch):
    """Pages without the figures of matplotlib, which take most of the time."""
    monkeypatch.setattr(page, "_embedded", lambda pictures: [])


def data_of(text: str) -> dict:
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1]
    )


# -- text ------------------------------------------------------------------------------------------


def test_page_holds_everything_and_loads_nothing(written):
    text = written.read_text()
    assert "<h1>A &lt;test&gt;</h1>" in text
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert {source.split(":")[0] if ":" in source else source[:1] for source in sources} == {
        "data",
        "#",
    }
    assert "@import" not in text and "url(" not in text
    for id_ in ("overview", "curves", "performance", "aggregates", "ablations", "videos", "runs"):
        assert f'<section id="{id_}">' in text and f'<a href="#{id_}">' in text


def test_page_warns_of_what_is_missing(written, folder):
    text = written.read_text()
    assert f"{folder.name}/cem-0: no records" in text
    assert "missing: OSRP on CarGoal1 (coordinates), seed 1" in text
    assert (
        "DreamerV3 (unsafe) has fewer than 3 seeds, no interval can be trusted (PointGoal1 "
        "(coordinates): 1)"
    ) in text


def test_best_feasible_method_is_bold_and_a_single_seed_never_is(
    written, tmp_path, without_figures
):
    # OSRP alone is feasible, with one seed on CarGoal1; on PointGoal1 its cost is above the limit
    assert '<tr class="best">' not in written.read_text()
    for seed in (0, 1):
        run = {"task": "SafetyCarGoal1-v0", "evals": [(2000, 1.0, 0.0), (4000, 2.0, 0.5)]}
        write_run(tmp_path / f"osrp-{seed}", "osrp", seed, **run)
    write_run(tmp_path / "cem", "cem", task="SafetyCarGoal1-v0", evals=[(4000, 9.0, 0.0)])
    text = page.page(load.load([tmp_path]), tmp_path / "r.html", [], FEW)
    (best,) = re.findall(r'<tr class="best">(.*?)</tr>', text, re.S)
    assert "OSRP" in best and "1.50" in best  # mean of the two evaluations


def test_tables_name_the_column_of_every_cell(written):
    text = written.read_text()
    assert '<td data-head="Return">11.00</td>' not in text
    assert re.search(r'<td data-head="Return">8.50 ± \d+\.\d\d</td>', text)


def test_the_data_of_figures_and_tables_can_be_saved(written):
    text = written.read_text()
    links = dict(re.findall(r'download="([^"]+)" href="data:text/csv;base64,([^"]+)"', text))
    assert {"performance.csv", "ablation-planner-lagrangian.csv"} <= links.keys()
    table = pd.read_csv(io.BytesIO(base64.b64decode(links["performance.csv"])))
    assert table.loc[table["method"] == "dreamerv3", "return"].tolist() == [21.0]


def test_provenance_shares_configurations(written):
    text = written.read_text()
    # OSRP, CEM and DreamerV3, shared by tasks and seeds
    assert len(re.findall(r'<details id="configuration-\d+">', text)) == 3
    assert "osrp, osrp [planner.horizon=5]\n(5 runs)" in text


def test_payload_has_means_from_three_seeds_on(folder):
    found = payload.curves(load.load([folder]))
    names = [method["label"] for method in found["methods"]]
    # the variant is hidden at first
    assert [method["shown"] for method in found["methods"]] == [True, True, True, False]
    _, task = found["tasks"]
    lines = {names[line["method"]]: line for line in task["lines"]}
    assert lines["osrp"]["mean"] and lines["osrp"]["x"] == [2000, 4000]
    assert lines["osrp"]["return"]["mean"] == [5, 12]
    assert lines["osrp"]["cost"]["low"] == [8, 2]
    assert not lines["dreamerv3"]["mean"] and lines["dreamerv3"]["runs"][0]["return"] == [21]
    assert lines["osrp"]["runs"][2]["training"]["x"] == [1000, 2000, 3000, 4000]


@pytest.mark.parametrize("split", [EVAL_SAMPLED, FINAL])
def test_a_run_with_other_episodes_alone_has_an_empty_line(tmp_path, split):
    folder = write_run(tmp_path / "a", "osrp")
    with RecordWriter(folder / RECORDS_FILE) as writer:
        of = ("a-id", "osrp", TASK, OBS, 0, split, 0)
        writer.write(EpisodeRecord(*of, 4000, 800, 1.0, 2.0, 1000, 9.0))
    (task,) = payload.curves(load.load([tmp_path]))["tasks"]
    empty = {"x": [], "return": [], "cost": []}
    assert task["lines"][0]["runs"] == [{"seed": 0, **empty, "training": empty}]


def test_diverged_evaluation_is_null(tmp_path):
    write_run(tmp_path / "a", "osrp", evals=[(2000, float("nan"), 1.0), (4000, 5.0, 1.0)])
    (task,) = payload.curves(load.load([tmp_path]))["tasks"]
    assert task["lines"][0]["runs"][0]["return"] == [None, 5]


def test_long_lines_are_thinned_with_their_ends(tmp_path):
    write_run(tmp_path / "a", "osrp", evals=[(10 * i, 1.0, 0.0) for i in range(1, 1001)])
    (task,) = payload.curves(load.load([tmp_path]))["tasks"]
    x = task["lines"][0]["runs"][0]["x"]
    assert (len(x), x[0], x[-1]) == (payload.MAX_POINTS, 10, 10_000)


def test_dashes_are_those_of_the_figures():
    assert payload.dash(style.SOLID) == ""
    assert payload.dash(style.DASHED) == "9 2.7"  # 5 and 1.5 line widths of 1.8


def test_text_of_runs_cannot_leave_the_script_element(tmp_path, without_figures):
    write_run(tmp_path / "a", "</script><b>", evals=[(4000, 1.0, 0.0)])
    text = page.page(load.load([tmp_path]), tmp_path / "r.html", [], FEW)
    assert text.count("</script>") == 2
    assert data_of(text)["methods"][0]["label"] == "</script><b>"


def test_many_videos_are_linked_beside_the_page(folder, tmp_path, without_figures):
    config = page.PageConfig(embed_mb=0.0, gallery=FEW.gallery)
    text = page.page(load.load([folder]), folder / "pages" / "r.html", [folder], config)
    assert 'src="../osrp-0/episode-0.mp4"' in text
    assert "1 videos of 0 MB are linked" in text


def test_videos_of_linked_runs_are_shown_once(folder, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "run").symlink_to(folder / "osrp-0")
    (tmp_path / "linked" / "loop").symlink_to(tmp_path / "linked")
    videos, _ = page._videos([tmp_path / "linked"], tmp_path / "r.html", 0.0)
    assert [Path(video["source"]).name for video in videos] == ["episode-0.mp4"]


def test_runs_can_be_judged_at_equal_progress(folder, without_figures):
    text = page.page(
        load.load([folder]), folder / "r.html", [], page.PageConfig(at=2000, gallery=FEW.gallery)
    )
    assert "judge runs at 2,000 simulator steps" in text
    assert "5.00 ± 0.00" in text  # OSRP's first evaluation, the same for all seeds


def test_command_line(folder, tmp_path, capsys):
    few = ["--reps", "20", "--pair-reps", "20"]
    assert main(["report", str(folder), "--out", str(tmp_path / "r.html"), *few]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"wrote {tmp_path / 'r.html'}")
    assert "warning: missing: OSRP on CarGoal1 (coordinates), seed 1" in shown.err
    assert main(["report", str(folder / "nothing"), *few]) == 2
    assert "safedreamer: error: no folder" in capsys.readouterr().err


# -- browser ---------------------------------------------------------------------------------------

LINES = "[...document.querySelectorAll('.panel')].map(p => p.querySelectorAll('path.line').length)"


@pytest.fixture
def browser(written, tmp_path):
    with Page(tmp_path / "profile") as opened:
        opened.open(written)
        yield opened
        assert opened.errors == []
        assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []


def click(browser: Page, selector: str, shift: bool = False) -> None:
    event = f"new MouseEvent('click', {{bubbles: true, shiftKey: {str(shift).lower()}}})"
    browser.run(f"document.querySelector('{selector}').dispatchEvent({event})")


@pytest.mark.browser
def test_curves_are_visible(browser):
    assert browser.run("document.documentElement.dataset.ready") == "yes"
    # return and cost of each: one OSRP seed on CarGoal1; OSRP's mean and DreamerV3 on PointGoal1
    assert browser.run(LINES) == [2, 4]
    lines = "document.querySelectorAll('.panel')[1].querySelectorAll('path.line')"
    boxes = f"[...{lines}].map(line => line.getBBox()).map(box => [box.width, box.height])"
    drawn = [box for box in browser.run(boxes) if box[0]]  # DreamerV3 has one evaluation: a dot
    assert len(drawn) == 2 and all(width > 100 and height > 40 for width, height in drawn)
    assert (
        browser.run("document.querySelectorAll('.panel')[1].querySelectorAll('circle').length") == 2
    )
    assert browser.run("document.querySelectorAll('path.band').length") == 2
    assert browser.run("document.querySelectorAll('line.limit').length") == 2
    names = "[...document.querySelectorAll('.limit-name')].map(name => name.textContent)"
    assert browser.run(names) == ["limit 2", "limit 2"]
    assert browser.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_methods_toggle(browser):
    osrp = 'button[data-label="osrp"]'
    click(browser, osrp)
    assert browser.run(LINES) == [0, 2]
    assert browser.run(f"document.querySelector('{osrp}').getAttribute('aria-pressed')") == "false"
    click(browser, osrp)
    assert browser.run(LINES) == [2, 4]
    click(browser, 'button[data-label="dreamerv3"]', shift=True)  # show it alone
    assert browser.run(LINES) == [0, 2]
    click(browser, "#none")
    assert browser.run(LINES) == [0, 0]
    click(browser, "#all")
    assert browser.run(LINES) == [2, 6]  # the variant, too


@pytest.mark.browser
def test_options_toggle(browser):
    def count(what: str) -> int:
        return browser.run(f"document.querySelectorAll('{what}').length")

    browser.run("document.getElementById('bands').click()")
    assert count("path.band") == 0
    browser.run("document.getElementById('runs').click()")
    assert count("path.run") == 6  # three seeds, return and cost
    browser.run("document.getElementById('training').click()")
    assert count("path.training") == 2 * (4 + 1)
    scale = "document.querySelectorAll('.panel')[1].querySelectorAll('.name')[1].textContent"
    assert browser.run(scale) == "Episode cost (log above 2)"
    browser.run("document.getElementById('log').click()")
    assert browser.run(scale) == "Episode cost"
    browser.run(
        "document.getElementById('find').value = 'car'; "
        "document.getElementById('find').dispatchEvent(new Event('input'))"
    )
    assert browser.run("[...document.querySelectorAll('.panel')].map(p => p.offsetHeight > 0)") == [
        True,
        False,
    ]


@pytest.mark.browser
def test_bands_of_many_methods_start_hidden(without_figures, tmp_path):
    folder = write_sweep(tmp_path / "runs")  # OSRP has a band
    for method in ("cem", "osrp_lag", "bsrp_lag", "lambda", "safe_slac", "cpo"):
        write_run(folder / method, method, evals=[(2000, 1.0, 0.0), (4000, 2.0, 0.5)])
    out = folder / "report.html"
    out.write_text(page.page(load.load([folder]), out, [folder], FEW), encoding="utf-8")
    with Page(tmp_path / "profile") as opened:
        opened.open(out)
        count = "document.querySelectorAll('path.band').length"
        assert not opened.run("document.getElementById('bands').checked")
        assert opened.run(count) == 0
        click(opened, "#bands")
        assert opened.run(count) == 2  # of return and of cost


@pytest.mark.browser
def test_values_are_read_by_hovering_and_by_keys(browser):
    chart = "document.querySelectorAll('.panel')[1].querySelector('svg.chart')"
    browser.run(f"{chart}.scrollIntoView({{block: 'center'}})")
    left, top, width, height = browser.run(
        f"(r => [r.left, r.top, r.width, r.height])({chart}.getBoundingClientRect())"
    )
    browser.move(left + 0.97 * width, top + 0.5 * height)
    tip = "document.getElementById('tip')"
    assert browser.run(f"getComputedStyle({tip}).visibility") == "visible"
    text = browser.run(f"{tip}.innerText")
    assert text.startswith("4k simulator steps")
    assert "DreamerV3 (unsafe) seed 0" in text and "21" in text
    assert "OSRP" in text and "12" in text and "7.03 to 17" in text
    browser.move(1, 1)
    assert browser.run(f"getComputedStyle({tip}).visibility") == "hidden"
    browser.run(f"{chart}.focus()")
    browser.press("ArrowLeft")
    assert browser.run(f"{tip}.innerText").startswith("2k simulator steps")


@pytest.mark.browser
def test_training_episodes_are_read_where_there_are_no_evaluations(without_figures, tmp_path):
    train = [(1000, 1.0, 20.0), (2000, 3.0, 10.0)]
    write_run(tmp_path / "runs" / "a", "osrp", train=train)
    out = tmp_path / "report.html"
    out.write_text(page.page(load.load([tmp_path / "runs"]), out, [], FEW), encoding="utf-8")
    with Page(tmp_path / "profile") as opened:
        opened.open(out)
        opened.run("document.querySelector('svg.chart').focus()")
        opened.press("ArrowLeft")
        text = opened.run("document.getElementById('tip').innerText")
        assert text.startswith("1k simulator steps") and "OSRP seed 0, training" in text


@pytest.mark.browser
def test_rows_are_sorted_by_a_click_on_a_column(browser):
    table = "document.querySelector('#performance > .scroll')"
    head = f"{table}.querySelectorAll('th')[2]"
    column = f"[...{table}.querySelectorAll('td[data-head=Return]')]"
    for order in ("ascending", "descending"):
        browser.run(f"{head}.querySelector('button').click()")
        assert browser.run(f"{head}.getAttribute('aria-sort')") == order
        values = browser.run(f"{column}.map(cell => parseFloat(cell.textContent))")
        numbers = [value for value in values if value is not None]
        assert numbers == sorted(numbers, reverse=order == "descending") and len(numbers) == 4
        assert values[-1] is None  # CEM has no value: last either way


@pytest.mark.browser
def test_tables_fit_a_phone(written, tmp_path):
    with Page(tmp_path / "profile") as opened:
        opened.resize(400, 800)
        opened.open(written)
        assert opened.run("innerWidth") == 400
        assert opened.run("document.documentElement.scrollWidth <= innerWidth")
        boxes = "[...document.querySelectorAll('#performance .scroll, #runs .scroll')]"
        assert opened.run(f"{boxes}.every(box => box.scrollWidth <= box.clientWidth)")
        cell = "document.querySelector('#performance td[data-head=Cost]')"
        assert opened.run(f"getComputedStyle({cell}, '::before').content") == '"Cost"'


@pytest.mark.browser
def test_a_dark_page_has_light_text_and_lines(browser):
    browser.prefer("dark")
    light = "(color => color.match(/[\\d.]+/g).slice(0, 3).every(part => part > 200))"
    assert browser.run(f"{light}(getComputedStyle(document.body).color)")
    assert not browser.run(f"{light}(getComputedStyle(document.body).backgroundColor)")
