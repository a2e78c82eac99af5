// Charts of the overview, drawn by uPlot: alerts by severity as stacked bars, events per second.
"use strict";
(() => {
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const SEVERITIES = ["info", "low", "medium", "high", "critical"];
  const EVERY_MS = 2000, KEPT = 120;
  const width = (place) => Math.max(240, place.clientWidth);
  const axis = () => ({ stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } });
  const json = async (url) => {
    const answer = await fetch(url, { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  };

  function fit(chart, place) {
    new ResizeObserver(() => chart.setSize({ width: width(place), height: 210 })).observe(place);
  }

  // -------------------------------------------------------------- alerts opened

  function stacked(found) {
    const start = Date.parse(found.start) / 1000, step = found.width_ms / 1000;
    const times = Array.from({ length: found.bars }, (_, index) => start + step * index);
    const names = Object.keys(found.opened).sort((a, b) => SEVERITIES.indexOf(a) - SEVERITIES.indexOf(b));
    let below = new Array(found.bars).fill(0);
    const sums = names.map((name) => (below = below.map((sum, index) => sum + found.opened[name][index])));
    return { times, names, sums };
  }

  async function opened(place) {
    const found = await json(place.dataset.url);
    const { times, names, sums } = stacked(found);
    const own = (name) => (_, __, ___, index) => (index === null ? "–" : String(found.opened[name][index]));
    const series = names.map((name) => ({
      label: name, fill: color(`--${name}`) || color("--info"), stroke: color(`--${name}`) || color("--info"), width: 0,
      paths: uPlot.paths.bars({ size: [0.8, 40], align: 1 }), points: { show: false },
      value: (self, value, serie, index) => own(name)(self, value, serie, index),
    }));
    const top = Math.max(4, ...(sums.at(-1) ?? [0]));
    // The tallest sum is drawn first, so that those below cover it.
    const chart = new uPlot(
      { width: width(place), height: 210, series: [{ label: "from" }, ...series.reverse()], axes: [axis(), { ...axis(), size: 42 }],
        scales: { y: { range: [0, top * 1.1] }, x: { range: [times[0], times.at(-1) + found.width_ms / 1000] } } },
      [times, ...[...sums].reverse()], place);
    fit(chart, place);
  }

  // -------------------------------------------------------------- events per second

  const figure = (name, words) => {
    const place = document.querySelector(`[data-figure="${name}"]`);
    if (place) place.textContent = words;
  };
  const number = (value) => value.toLocaleString("en").replaceAll(",", "\u202f");
  const seconds = (value) => (value === null ? "–" : value < 120 ? `${Math.floor(value)} s` : value < 7200 ? `${Math.floor(value / 60)} min` : value < 172800 ? `${Math.floor(value / 3600)} h` : `${Math.floor(value / 86400)} d`);

  function show(found) {
    for (const name of ["behind", "detections", "dead_lettered", "late"]) figure(name, number(found[name]));
    for (const name of ["open", "acknowledged"]) figure(name, number(found.alerts[name] ?? 0));
    figure("lag", seconds(found.watermark_lag_seconds));
  }

  function rate(place) {
    const line = { label: "events/s", stroke: color("--accent"), fill: color("--cool-ground"), width: 2, value: (_, value) => (value == null ? "–" : value.toFixed(1)) };
    const data = [[], []];
    const chart = new uPlot(
      { width: width(place), height: 210, series: [{}, line], axes: [axis(), { ...axis(), size: 56 }],
        scales: { y: { range: (_, __, most) => [0, Math.max(1, most * 1.1)] } } }, data, place);
    fit(chart, place);
    let before = null;
    const look = async () => {
      if (document.hidden) { before = null; return; }
      const found = await json(place.dataset.url).catch(() => null);
      const now = performance.now();
      if (!found) { figure("rate", "–"); before = null; return; }
      show(found);
      if (before) {
        const perSecond = Math.max(0, ((found.received - before.received) * 1000) / (now - before.at));
        figure("rate", perSecond < 10 ? perSecond.toFixed(1) : number(Math.round(perSecond)));
        data[0].push(Date.now() / 1000);
        data[1].push(perSecond);
        if (data[0].length > KEPT) data.forEach((one) => one.shift());
        chart.setData(data);
      }
      before = { received: found.received, at: now };
    };
    look();
    setInterval(look, EVERY_MS);
  }

  for (const place of document.querySelectorAll("[data-chart]")) {
    if (place.dataset.chart === "opened") opened(place).catch(() => { place.textContent = "The figures cannot be read now."; });
    if (place.dataset.chart === "rate") rate(place);
  }
})();
