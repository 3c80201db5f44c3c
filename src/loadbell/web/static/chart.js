// Draws the table of a <figure data-chart> as bars, one on top of the other: the first column holds the moments
// (<time datetime>), each other one a series, whose colour is that of its word in the caption.
"use strict";

(() => {
  const HEIGHT = 150;
  const fitted = new WeakMap(); // what keeps the drawing in a place as wide as it

  function draw(figure) {
    const rows = [...figure.querySelectorAll("tbody tr")];
    const place = figure.querySelector("[data-canvas]");
    if (!rows.length || !place) return;
    const moments = rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000);
    const words = [...figure.querySelectorAll("figcaption .word")];
    const columns = words.map((_, at) => rows.map((row) => Number(row.querySelectorAll("td")[at].textContent.replaceAll(",", ""))));
    // The sum of all stands behind, so that each bar covers the one before it but for its own part.
    const stacked = columns.map((_, at) => rows.map((_, row) => columns.slice(at).reduce((sum, one) => sum + one[row], 0)));
    const ink = getComputedStyle(figure).color;
    const line = getComputedStyle(place).borderBottomColor;
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: `11px ${getComputedStyle(figure).fontFamily}` };
    const options = {
      width: place.clientWidth,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      scales: { y: { range: (_, least, most) => [0, Math.max(most, 1)] } },
      axes: [axis, { ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000] }],
      series: [{}, ...words.map((word) => {
        const colour = getComputedStyle(word).color;
        return { stroke: colour, fill: colour, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.8, 40] }) };
      })],
    };
    place.replaceChildren();
    const plot = new uPlot(options, [moments, ...stacked], place);
    fitted.get(place)?.disconnect();
    fitted.set(place, new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: HEIGHT })));
    fitted.get(place).observe(place);
  }

  function drawAll() {
    for (const figure of document.querySelectorAll("figure[data-chart]:not([data-drawn])")) {
      figure.dataset.drawn = "";
      draw(figure);
    }
  }

  // A canvas keeps the colours that it was drawn with.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const figure of document.querySelectorAll("figure[data-drawn]")) delete figure.dataset.drawn;
    drawAll();
  });
  document.addEventListener("htmx:afterSwap", drawAll);
  document.addEventListener("htmx:sseMessage", drawAll);
  drawAll();
})();
