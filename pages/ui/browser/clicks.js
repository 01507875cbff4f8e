// Tells the app which mark of a Plotly chart was clicked. Streamlit itself tells clicks or drags of
// a chart, not both, and no clicks on a heat map. The chart may be drawn anew at any time, so it is
// listened to once a pointer is over it.

const listened = new WeakMap();

export default function ({ data, setTriggerValue }) {
  const tell = ({ points }) => {
    const marked = points.find(tells);
    if (marked) setTriggerValue("mark", marked.customdata);
  };
  const over = (event) => {
    const place = event.target instanceof Element && event.target.closest(`.st-key-${data.key}`);
    const chart = place && place.querySelector(".js-plotly-plot");
    if (!chart || !chart.on) return;
    if (!listened.has(chart)) chart.on("plotly_click", (event) => listened.get(chart)(event));
    listened.set(chart, tell);
  };
  document.addEventListener("pointerover", over, true);
  return () => document.removeEventListener("pointerover", over, true);
}

// A heat map's customdata are positions where its `meta` says so, counts and the like elsewhere.
function tells({ customdata, data }) {
  if (customdata === undefined || customdata === null) return false;
  return data.type !== "heatmap" || data.meta === "rows";
}
