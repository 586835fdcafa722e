"""A report as a reader has it: opened from a file, in a headless Chromium."""

import json
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from experiments.ledger import rows as ledger
from experiments.pages import catalogue, stored
from experiments.pages.overrides import override
from experiments.report.gather import gather, pack
from experiments.report.render import render

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install -e '.[browser]'")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Chromium: apt-get install chromium chromium-driver"
)

SWITCHES = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --window-size=1300,900"
)
HOSTILE = "<img src=x onerror=window.hacked=1>"
STEPS = np.arange(20, 1001, 20)
OVER = {"schedule.peak": "log:1e-4..1e-1", "optimizer.weight_decay": "0..0.1", "model.activation": "relu,tanh"}


def fabricate(root):
    """Two runs and one of a hostile name, the last of them unfinished, and a sweep of six trials."""
    for seed, name in enumerate(["a/seed0", "a/seed1", HOSTILE]):
        workdir = root / name
        workdir.mkdir(parents=True)
        given = [("train.seed", str(seed)), ("train.init_from", "</script><script>window.hacked=1</script>")]
        config = override(catalogue.load("mlp_digits"), given + [("schedule.peak", "0.5")] * (seed == 2))
        (workdir / stored.STORED).write_text(json.dumps(stored.canonical(config)))
        noise = np.random.default_rng(seed).normal(0, 0.05, len(STEPS))
        records = [
            {"step": int(n), "train/loss": (seed + 1) * 100 / n + abs(e), "time/seconds": float(n**1.5 / 100)}
            for n, e in zip(STEPS, noise, strict=True)
        ]
        records[9]["train/loss"] = None
        records += [{"step": n, "validation/accuracy": n / 1100, "time/seconds": n / 5} for n in (250, 500, 750, 1000)]
        (workdir / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        readings = {"test/accuracy": {"better": "max", "unit": "%"}}
        (workdir / stored.READINGS).write_text(json.dumps(readings))
        if seed < 2:
            summary = {"step": 1000, "test/accuracy": 0.8 + seed / 10, "readings": readings}
            (workdir / stored.SUMMARY).write_text(json.dumps(summary))
            for kind in ("samples", "examples"):
                (workdir / kind).mkdir()
                for step in (250, 500, 1000):
                    Image.new("RGB", (64, 48), (step // 4, 0, 0)).save(workdir / kind / f"step_{step:08d}.png")
            Image.new("RGB", (90, 80), "white").save(workdir / "confusion.png")
    search, states = root / "search", ["complete", "complete", "pruned", "failed", "complete", "running"]
    search.mkdir()
    asked = {
        "over": OVER,
        "metric": "validation/accuracy",
        "goal": "max",
        "trials": 8,
        "sampler": "tpe",
        "pruner": "asha",
    }
    (search / "sweep.json").write_text(json.dumps(asked))
    trials = [
        {
            "number": n,
            "params": dict(zip(OVER, (10.0 ** -(1 + n / 2), n / 50, ("relu", "tanh")[n % 2]), strict=True)),
            "state": state,
            "value": None if state in ("failed", "running") else 0.5 + n / 10,
            "step": 100,
            "seconds": 3.0,
            "why": f"the loss is not finite {HOSTILE}" if state == "failed" else None,
        }
        for n, state in enumerate(states)
    ]
    importance = {"schedule.peak": 0.7, "optimizer.weight_decay": 0.3}
    found = {"trials": trials, "best": 4, "seconds": 480.0, "importance": importance}
    (search / "results.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The file of a report."""
    root = tmp_path_factory.mktemp("report")
    (root / "runs").mkdir()
    fabricate(root / "runs")
    with pytest.MonkeyPatch.context() as patch:
        row = json.loads((ledger.RESULTS / "lenet5_mnist.json").read_text()) | {"command": "fovea reproduce", "age": ""}
        others = [row | {"page": name, "seconds": seconds} for name, seconds in (("short", 33.0), ("long", 5400.0))]
        patch.setattr(ledger, "rows", lambda results: [row, *others])
        (root / "report.html").write_text(render(gather([root / "runs"])))
    return root / "report.html"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for switch in (*SWITCHES.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield found
    found.quit()


class Page:
    """A report that is open."""

    def __init__(self, driver, file):
        self.driver = driver
        driver.get(f"file://{file}")
        self.until("document.documentElement.dataset.ready")

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, condition):
        return WebDriverWait(self.driver, 60).until(lambda driver: self.js(f"return {condition}"))

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def chart(self, metric):
        """Brings a chart into sight, and waits until it is drawn."""
        self.js(f"document.querySelector('[data-metric=\"{metric}\"]').scrollIntoView({{behavior: 'instant'}})")
        self.until(f"document.querySelector('[data-metric=\"{metric}\"] canvas')")
        self.settle()
        return self.one(f'[data-metric="{metric}"]')

    def settle(self):
        """Until what was asked to be drawn is drawn: two frames."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
        )

    def drawn(self, metric="train/loss"):
        """The picture of a chart, as text."""
        self.settle()
        return self.js(f"return document.querySelector('[data-metric=\"{metric}\"] canvas').toDataURL()")

    def scale(self, metric="train/loss"):
        """From where to where a chart goes."""
        self.settle()
        chart = f"charts.find((one) => one.metric === '{metric}')"
        return self.js(f"const {{min, max}} = {chart}.plot.scales.x; return [min, max]")

    def background(self):
        return self.js("return getComputedStyle(document.body).backgroundColor")


@pytest.fixture
def page(driver, report):
    return Page(driver, report)


def test_it_opens_from_a_file_without_errors_and_without_a_network(driver, report):
    for kind in ("browser", "performance"):
        driver.get_log(kind)  # what other tests left
    page = Page(driver, report)
    page.chart("train/loss")
    assert [entry["message"] for entry in driver.get_log("browser")] == []
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [one["params"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    asked = [one["request"]["url"] for one in asked if one["documentURL"].startswith("file:")]  # not the browser's own
    assert any(url.startswith("file:") for url in asked)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    titles = [heading.text for heading in page.all("h2")]
    assert titles == [
        "Sweep search", "Curves", "Final numbers", "Pictures by step", "Predictions", "Configuration",
        "Ledger of reproductions",
    ]  # fmt: skip


def test_curves_are_drawn_in_the_colours_of_the_runs(page):
    page.chart("train/loss")
    colours = page.js(
        """const canvas = document.querySelector('[data-metric="train/loss"] canvas');
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height), seen = new Set();
        for (let i = 0; i < data.length; i += 4) seen.add(`rgb(${data.slice(i, i + 3).join(', ')})`);
        return [0, 1, 2].map((run) => seen.has(colour(run)));"""
    )
    assert colours == [True, True, True]
    assert page.js("return charts.find((one) => one.metric === 'train/loss').plot.data[1][9]") is None  # a gap


@pytest.mark.parametrize("control", ["#log", '[data-axis="seconds"]', "smoothing", "run"])
def test_controls_change_what_is_drawn(page, control):
    page.chart("train/loss")
    before = page.drawn()
    if control == "smoothing":
        fall = "const {y} = charts.find((one) => one.metric === 'train/loss').lines[0]; return y[1] - y[2]"
        steep = page.js(fall)
        page.one("#smoothing").send_keys(Keys.END)
        assert page.drawn() != before
        assert 0 < page.js(fall) < steep
        page.one("#smoothing").send_keys(Keys.HOME)
    elif control == "run":
        run = page.one(".run")
        run.send_keys(Keys.SPACE)
        assert run.get_attribute("aria-pressed") == "false"
        assert page.drawn() != before
        assert page.js("return document.querySelector('#numbers tr[data-run=\"0\"]').hidden")
        run.send_keys(Keys.SPACE)
    else:
        button = page.one(control)
        button.send_keys(Keys.SPACE)
        assert button.get_attribute("aria-pressed") == "true"
        assert page.drawn() != before
        page.one('[data-axis="steps"]' if "axis" in control else control).send_keys(Keys.SPACE)
    assert page.drawn() == before


def test_all_charts_share_one_axis_that_is_dragged(page):
    page.chart("validation/accuracy")
    over = page.one('[data-metric="train/loss"] .u-over')
    page.js("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", over)
    assert page.scale() == [0, 1000]
    drag = lambda element, by, start=0: (
        ActionChains(page.driver).move_to_element_with_offset(element, start, 0).click_and_hold()
        .move_by_offset(by // 2, 0).move_by_offset(by - by // 2, 0).release().perform()
    )  # fmt: skip
    drag(over, 150, start=-50)
    zoomed = page.scale()
    assert 0 < zoomed[0] < zoomed[1] < 1000
    drag(page.one('[data-metric="train/loss"] .u-axis'), -60)
    moved = page.scale()
    assert moved[0] > zoomed[0] + 20
    assert moved[1] - moved[0] == pytest.approx(zoomed[1] - zoomed[0])
    page.chart("validation/accuracy")
    assert page.scale("validation/accuracy") == moved
    start = page.one(".range .start")
    start.send_keys(Keys.ARROW_LEFT)
    assert page.scale()[0] < moved[0]
    start.send_keys(Keys.ESCAPE)
    assert page.scale() == [0, 1000]


def test_a_hover_and_the_arrow_keys_read_values(page):
    chart = page.chart("train/loss")
    ActionChains(page.driver).move_to_element(chart.find_element(By.CSS_SELECTOR, ".u-over")).perform()
    readout = page.one(".readout")
    assert readout.is_displayed()
    assert "step 500" in readout.text
    assert HOSTILE in readout.text
    plot = chart.find_element(By.CSS_SELECTOR, ".plot")
    for _ in range(3):
        plot.send_keys(Keys.ARROW_RIGHT)
    assert "step 560" in readout.text
    plot.send_keys("+")
    assert page.scale() == [200, 800]


def test_the_keyboard_moves_through_all_the_samples(page):
    first, second, *_ = page.all("#samples figure input")  # those of the examples follow
    source = lambda i: page.js(f"return document.querySelectorAll('#samples figure img')[{i}].src")
    last = source(0)
    first.send_keys(Keys.ARROW_LEFT)
    assert first.get_attribute("aria-valuetext") == "step 500"
    assert source(0) != last
    assert source(1) == last  # the other run's
    page.one("#samples .control.all input").send_keys(Keys.HOME)
    assert [slider.get_attribute("aria-valuetext") for slider in (first, second)] == ["step 250", "step 250"]


def test_everything_to_press_is_reached_by_tab_and_shows_it(page):
    outlines = set()
    for _ in range(12):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        element = page.driver.switch_to.active_element
        outlines.add(element.value_of_css_property("outline-style"))
        last = element
    assert last.tag_name != "body"
    assert outlines == {"solid"}
    unnamed = """return [...document.querySelectorAll('button, input, [role=slider]')].filter((one) =>
        !one.textContent.trim() && !one.getAttribute('aria-label') && !one.labels?.length
        && !one.querySelector('img[alt], title')).length"""
    assert page.js(unnamed) == 0


def test_a_sweep(page):
    assert page.one(".winner").text.startswith("Best: 0.9 in trial 4")
    assert page.one("#sweep-0 dl").text.endswith("8 min")
    paths = page.all("#sweep-0 path.trial")
    assert len(paths) == 6
    assert len(page.all("#sweep-0 path.trial.best")) == len(page.all("#sweep-0 tr.best")) == 1
    assert [len(page.all(f"#sweep-0 path.{state}")) for state in ("pruned", "failed")] == [1, 1]
    ticks = [text.text for text in page.all("#sweep-0 .axis:first-of-type .tick")]
    assert {"log", "1e-4", "0.001", "0.01", "0.1"} == set(filter(None, ticks))
    assert len(page.all("#sweep-0 .slice")) == 1 + len(OVER)
    assert [bar.text for bar in page.all("#sweep-0 .bars code")] == ["schedule.peak", "optimizer.weight_decay"]
    rows = lambda: [row.get_attribute("data-trial") for row in page.all("#sweep-0 tbody tr")]
    assert rows()[0] == "4"  # the best first
    heads = {head.text: head for head in page.all("#sweep-0 thead button")}
    heads["schedule.peak"].send_keys(Keys.ENTER)
    assert rows() == ["5", "4", "3", "2", "1", "0"]
    page.js("document.querySelector('#sweep-0 .axis').focus()")
    ActionChains(page.driver).send_keys(Keys.ARROW_UP).perform()  # the upper quarter of the learning rates
    out = [row.get_attribute("data-trial") for row in page.all("#sweep-0 tbody tr.out")]
    assert out == ["5", "4", "3", "2"]
    ActionChains(page.driver).send_keys(Keys.ESCAPE).perform()
    assert page.all("#sweep-0 .out") == []


def test_configurations_are_compared(page):
    rows = [row.text for row in page.all("#configuration tbody tr") if row.is_displayed()]
    assert rows == [f"schedule.peak 0.5 {catalogue.load('mlp_digits').schedule.peak}"]
    assert [cell.text for cell in page.all("#configuration .other") if cell.is_displayed()] == rows[0].split()[1:]
    assert len(page.all("#configuration thead th")) == 3  # the seeds of one page are one column
    page.one("#configuration button").send_keys(Keys.SPACE)
    assert sum(row.is_displayed() for row in page.all("#configuration tbody tr")) > 20


def test_best_final_numbers_are_marked(page):
    marks = [[mark.text for mark in row.find_elements(By.TAG_NAME, "mark")] for row in page.all("#numbers tbody tr")]
    assert marks == [["0.90909"], ["0.90909"], ["0.9", "0.90909"]]
    assert page.one("#ledger tbody td.number").text == "0.95 %"


def test_the_ledger_is_sorted_by_its_numbers(page):
    heads = {head.text: head for head in page.all("#ledger thead button")}
    heads["wall time"].send_keys(Keys.ENTER)
    shown = [[cell.text for cell in page.all(f"#ledger tbody {cell}")] for cell in ("th summary", "td:nth-child(8)")]
    assert shown[0] == ["short", "lenet5_mnist", "long"] and shown[1][::2] == ["33 s", "1.5 h"]


def test_a_hostile_name_is_only_a_name(page):
    page.chart("train/loss")
    assert page.js("return window.hacked") is None
    assert any(HOSTILE in run.text for run in page.all(".run"))
    assert page.all("img[src=x]") == []


def test_a_phone(page):
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.driver.refresh()
        page.until("document.documentElement.dataset.ready")
        page.chart("train/loss")
        assert page.js("return innerWidth") == 360
        assert page.js("return document.documentElement.scrollWidth") == 360
        assert page.js("return document.querySelector('.runs').open") is False
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_and_light(page):
    media = lambda scheme: page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    media("light")
    page.chart("train/loss")
    light, drawn = page.background(), page.drawn()
    try:
        media("dark")
        assert page.background() != light
        assert page.drawn() != drawn
        dark = page.one("#dark")
        assert dark.get_attribute("aria-pressed") == "true"
        dark.send_keys(Keys.SPACE)
        assert page.background() == light
        assert page.drawn() == drawn
    finally:
        media("")


def test_a_hundred_runs_of_ten_thousand_points(driver, report, tmp_path, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "rows", lambda results: [])
        found = gather([report.parent / "runs" / "a" / "seed0"])
    random, count = np.random.default_rng(0), 10_000
    steps = np.arange(1, count + 1)
    found["steps"] = [pack(steps, "<f8")]
    (first,) = found["runs"]
    found["runs"] = []
    for i in range(100):
        curves = {
            "steps": 0,
            "seconds": pack(np.cumsum(random.gamma(2, 0.1, count))),
            "until": {"steps": count, "seconds": 0.2 * count},
            "values": {
                f"train/{name}": pack(np.exp(-steps / 3000) + random.gamma(2, 0.02, count))
                for name in ("loss", "error")
            },
        }
        found["runs"].append({**first, "label": f"seed{i}", "curves": [curves], "galleries": {}, "pictures": []})
    file = tmp_path / "big.html"
    file.write_text(render(found))
    began = time.perf_counter()
    page = Page(driver, file)
    seconds = time.perf_counter() - began
    page.chart("train/loss")
    assert (
        page.js("return charts.find((one) => one.metric === 'train/loss').lines.map(({y}) => y.length)")
        == [count] * 100
    )
    with capsys.disabled():
        print(f"\n100 runs of 10,000 points, {file.stat().st_size / 1e6:.0f} MB: ready after {seconds:.2f} s")
