// The page's own script: learning curves (with Chart.js), sortable tables, the current section in the navigation. The page
// is complete without it but for the curves, whose ends are in a table.
//
// Chart.js, copyright Chart.js contributors, MIT licence: Permission is hereby granted, free of charge, to any person
// obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without
// restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or
// sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following
// conditions: The above copyright notice and this permission notice shall be included in all copies or substantial portions
// of the Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
// LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
// AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT
// OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"use strict";
(() => {
  const curves = document.getElementById("curve-data");
  const data = curves ? JSON.parse(curves.textContent) : { models: [] };
  const canvases = [...document.querySelectorAll("canvas[data-model]")];

  // Point: [epoch, stage, size_px, training loss, held-out loss, metric].
  const EPOCH = 0, STAGE = 1, SIZE = 2, QUANTITY = 3, METRIC = 5;
  const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const shown = (value) => value === null ? "–" : Math.abs(value) >= 0.001 ? value.toFixed(4) : value.toExponential(2);

  // Epochs after which the resolution changes, from the chain with the most epochs.
  function boundaries(model) {
    const longest = model.folds.reduce((a, b) => b.points.length > a.points.length ? b : a);
    const stages = [];
    longest.points.forEach((p, i) => {
      const before = longest.points[i - 1];
      if (!before) stages.push({ at: null, size: p[SIZE] });
      else if (before[STAGE] !== p[STAGE]) stages.push({ at: (before[EPOCH] + p[EPOCH]) / 2, size: p[SIZE] });
    });
    return stages;
  }

  const stageLines = {
    id: "stageLines",
    beforeDatasetsDraw(chart, args, options) {
      const { ctx, chartArea: area, scales: { x } } = chart;
      ctx.save();
      ctx.font = "11px system-ui, sans-serif";
      ctx.fillStyle = ctx.strokeStyle = options.color;
      ctx.setLineDash([4, 4]);
      for (const stage of options.stages) {
        const left = stage.at === null ? area.left : x.getPixelForValue(stage.at);
        if (stage.at !== null) {
          ctx.beginPath();
          ctx.moveTo(left, area.top);
          ctx.lineTo(left, area.bottom);
          ctx.stroke();
        }
        ctx.fillText(stage.size + " px", left + (stage.at === null ? 0 : -2), area.top - 6);
      }
      ctx.restore();
    },
  };

  // Room above and below the curves, but none for values that cannot be.
  function room(model, column) {
    const values = model.folds.flatMap((fold) => fold.points.map((p) => p[column])).filter((value) => value !== null);
    if (!values.length) return {};
    const low = Math.min(...values), high = Math.max(...values), more = 0.08 * (high - low);
    const floor = { suggestedMin: low >= 0 ? Math.max(0, low - more) : low - more };
    return column === METRIC && high + more > 1 ? { ...floor, max: Math.max(1, high) } : { ...floor, suggestedMax: high + more };
  }

  const charts = [];
  function draw(canvas) {
    const model = data.models[canvas.dataset.model];
    const column = QUANTITY + Number(canvas.dataset.quantity);
    const soft = theme("--soft"), grid = theme("--grid");
    const chart = new Chart(canvas, {
      type: "line",
      data: {
        datasets: model.folds.map((fold) => ({
          label: "fold " + fold.fold,
          data: fold.points.map((p) => ({ x: p[EPOCH], y: p[column] })),
          borderColor: theme("--c" + fold.fold % 8),
          backgroundColor: theme("--c" + fold.fold % 8),
          borderWidth: 1.75, pointRadius: fold.points.length > 1 ? 0 : 3, pointHoverRadius: 4, pointHitRadius: 8, tension: 0,
        })),
      },
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, normalized: true,
        interaction: { mode: "index", intersect: false },
        layout: { padding: { top: 18, right: 6 } },
        scales: {
          x: {
            type: "linear", bounds: "data", title: { display: true, text: "epoch", color: soft },
            ticks: { color: soft, precision: 0, maxRotation: 0 }, grid: { display: false }, border: { display: false },
          },
          y: { ticks: { color: soft, maxTicksLimit: 6 }, grid: { color: grid, drawBorder: false }, ...room(model, column) },
        },
        plugins: {
          legend: { display: false },
          stageLines: { stages: boundaries(model), color: soft },
          tooltip: {
            backgroundColor: theme("--ink"), titleColor: theme("--surface"), bodyColor: theme("--surface"), padding: 8,
            boxPadding: 4, usePointStyle: true,
            callbacks: {
              title: (items) => items.length ? "epoch " + items[0].parsed.x : "",
              label: (item) => item.dataset.label + ": " + shown(item.parsed.y),
            },
          },
        },
      },
      plugins: [stageLines],
    });
    charts.push(chart);
    return chart;
  }

  // One row of buttons per model: each shows or hides a fold in the model's charts.
  function addLegend(group, model) {
    const legend = document.createElement("div");
    legend.className = "fold-legend";
    model.folds.forEach((fold, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      const key = document.createElement("span");
      key.className = "key c" + fold.fold % 8;
      button.append(key, "fold " + fold.fold);
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") === "false";
        button.setAttribute("aria-pressed", String(on));
        for (const chart of charts) {
          if (!group.contains(chart.canvas)) continue;
          chart.setDatasetVisibility(index, on);
          chart.update();
        }
      });
      legend.append(button);
    });
    group.querySelector(".charts").before(legend);
  }

  function drawAll() {
    const hidden = charts.map((chart) => chart.data.datasets.map((unused, i) => !chart.isDatasetVisible(i)));
    charts.splice(0).forEach((chart) => chart.destroy());
    canvases.map(draw).forEach((chart, c) => {
      (hidden[c] || []).forEach((off, i) => { if (off) chart.setDatasetVisibility(i, false); });
      if (hidden.length) chart.update();
    });
  }

  if (typeof Chart === "undefined") {
    document.querySelectorAll(".model-curves").forEach((group) => { group.hidden = true; });
    const note = document.getElementById("no-charts");
    if (note) note.hidden = false;
    const table = document.getElementById("curves-table");
    if (table) table.open = true;
  } else if (canvases.length) {
    document.querySelectorAll(".model-curves").forEach((group) => {
      addLegend(group, data.models[group.querySelector("canvas").dataset.model]);
    });
    drawAll();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    // Paper is white, whatever the screen is.
    const print = (on) => () => {
      document.documentElement.classList.toggle("printing", on);
      drawAll();
    };
    addEventListener("beforeprint", print(true));
    addEventListener("afterprint", print(false));
  }

  // Tables marked as sortable: a click on a heading sorts by that column, a second one turns the order.
  document.querySelectorAll("table.sortable").forEach((table) => {
    const body = table.tBodies[0], original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const value = (row, column) => {
      const cell = row.cells[column], text = cell.dataset.sort ?? cell.textContent.trim();
      const number = Number(text.replace(/,/g, ""));
      return text !== "" && !Number.isNaN(number) ? number : text;
    };
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        const rows = [...original].sort((a, b) => {
          const x = value(a, column), y = value(b, column);
          return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
        });
        body.append(...rows);
      });
    });
  });

  // The bars of the timeline are one stop for the keyboard; arrows go from bar to bar.
  const bars = [...document.querySelectorAll(".gantt .span")];
  bars.forEach((bar, index) => {
    bar.tabIndex = index === 0 ? 0 : -1;
    bar.addEventListener("keydown", (event) => {
      const next = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: bars.length - 1 }[event.key];
      if (next === undefined || !bars[next]) return;
      event.preventDefault();
      bar.tabIndex = -1;
      bars[next].tabIndex = 0;
      bars[next].focus();
    });
  });

  // Marks the section in view in the navigation.
  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  if ("IntersectionObserver" in window) {
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        links.forEach((link) => link.removeAttribute("aria-current"));
        const link = links.get(entry.target.id);
        if (link) link.setAttribute("aria-current", "true");
      }
    }, { rootMargin: "-15% 0px -75% 0px" });
    document.querySelectorAll("main > section").forEach((section) => observer.observe(section));
  }
})();
