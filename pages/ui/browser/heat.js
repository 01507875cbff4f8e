// Tokens shaded by a number. Texts come from samples, so only textContent is ever set.
const MARGIN = 0.05; // share of tokens that may lie beyond the end of the scale

const make = (tag, name, text) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
};

const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

const mixed = (colours, share) => {
  const at = Math.min(Math.max(share, 0), 1) * (colours.length - 1);
  const low = Math.min(Math.floor(at), colours.length - 2);
  const [a, b] = [rgb(colours[low]), rgb(colours[low + 1])];
  return a.map((x, k) => Math.round(x + (b[k] - x) * (at - low)));
};

const readable = ([r, g, b]) => {
  const part = (x) => (x / 255 <= 0.04 ? x / 3295 : ((x / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b) > 0.19 ? "#0E151C" : "#FFFFFF";
};

const reach = (values) => {
  const sorted = values.map(Math.abs).filter(Number.isFinite).sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * (1 - MARGIN))] || 1;
};

const shown = (x, signed) =>
  !Number.isFinite(x) ? "∞" : (signed && x > 0 ? "+" : "") + x.toFixed(2).replace("-", "−");

function numbers(data, measure, model) {
  const base = data.values.base[measure];
  if (model === "base") return base;
  const other = data.values.calibrated[measure];
  return model === "calibrated" ? other : base.map((x, k) => x - other[k]);
}

function scale(data, measure, model) {
  if (model === "difference") {
    const end = reach(numbers(data, measure, model));
    const place = (x) => (x / end + 1) / 2;
    return { place, low: -end, high: end, colours: data.colours.diverging, signed: true };
  }
  const all = Object.values(data.values).flatMap((role) => role[measure]);
  const end = reach(all); // one scale for both models, so that a colour is a number
  return { place: (x) => x / end, low: 0, high: end, colours: data.colours.sequence };
}

function switches(box, label, options, chosen, choose) {
  const group = make("div", "switch");
  group.setAttribute("role", "radiogroup");
  group.setAttribute("aria-label", label);
  for (const [value, text] of options) {
    const button = make("button", "", text);
    button.type = "button";
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(value === chosen));
    button.onclick = () => choose(value);
    group.append(button);
  }
  box.append(group);
}

function legend(box, s, data, measure, model) {
  const row = make("div", "legend");
  const bar = make("span", "bar");
  bar.style.background = `linear-gradient(to right, ${s.colours.join(",")})`;
  const ends = [shown(s.low, s.signed), `${shown(s.high, s.signed)} or more`];
  if (s.signed) ends[0] += " or less";
  row.append(make("span", "", ends[0]), bar, make("span", "", ends[1]));
  const what = `${data.names[measure]}, ${data.names[model]}, nats per token`;
  row.append(make("span", "what", what));
  box.append(row);
}

function draw(root, data, chosen) {
  const redraw = (change) => draw(root, data, Object.assign(chosen, change));
  root.replaceChildren();
  const head = make("div", "head");
  const models = [["base", "base"]];
  if (data.values.calibrated) models.push(["calibrated", "calibrated"], ["difference", "difference"]);
  const measures = [["entropy", "entropy"], ["nll", "NLL"]];
  switches(head, "Measure", measures, chosen.measure, (measure) => redraw({ measure }));
  switches(head, "Model", models, chosen.model, (model) => redraw({ model }));
  const s = scale(data, chosen.measure, chosen.model);
  const values = numbers(data, chosen.measure, chosen.model);
  const told = make("div", "told", "Point at a token, or go through them with the arrow keys.");
  told.setAttribute("aria-live", "polite");
  const text = make("div", "text");
  text.dir = "auto";
  text.setAttribute("role", "group");
  text.setAttribute("aria-label", "Tokens of the response");
  const tell = (k) => {
    const parts = [`“${data.text[k] || "part of a character"}”`];
    for (const [role, x] of Object.entries(data.values)) {
      parts.push(`${role}: entropy ${shown(x.entropy[k])}, NLL ${shown(x.nll[k])}`);
    }
    told.textContent = `${k + 1} of ${data.text.length} ${parts.join(" · ")} nats`;
  };
  const spans = data.text.map((word, k) => {
    if (k && data.turn[k] !== data.turn[k - 1]) text.append(make("hr"));
    const colour = mixed(s.colours, s.place(values[k]));
    const span = make("span", "token", word === "" ? "·" : word.replace(/\n/g, "⏎\n"));
    span.style.background = `rgb(${colour.join(",")})`;
    span.style.color = readable(colour);
    span.title = `${shown(values[k], s.signed)} nats`;
    span.tabIndex = k === 0 ? 0 : -1;
    span.onmouseenter = span.onfocus = () => tell(k);
    text.append(span);
    return span;
  });
  text.onkeydown = (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    const at = spans.indexOf(event.target);
    const to = event.key === "Home" ? 0 : event.key === "End" ? spans.length - 1
      : at + (steps[event.key] || 0);
    if (at < 0 || to === at || !spans[to]) return;
    event.preventDefault();
    event.stopPropagation();
    spans[at].tabIndex = -1;
    spans[to].tabIndex = 0;
    spans[to].focus();
  };
  legend(head, s, data, chosen.measure, chosen.model);
  root.append(head, text, told);
}

const remembered = new WeakMap();

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".heat");
  const chosen = remembered.get(root) || { measure: "entropy", model: "base" };
  if (!data.values.calibrated) chosen.model = "base";
  remembered.set(root, chosen);
  draw(root, data, chosen);
}
