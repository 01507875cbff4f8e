// Answers side by side. Texts become text nodes only: nothing that an answer says can act.

export default function ({ parentElement, data }) {
  const list = parentElement.querySelector(".answers");
  list.replaceChildren(...data.answers.map(card));
}

function card(answer) {
  const box = made("section", answer.reference ? "reference" : "");
  const head = made("header");
  const name = made("b");
  name.textContent = answer.name;
  const about = made("span");
  about.textContent = answer.about;
  head.append(name, about);
  const text = made("p", answer.pieces.length ? "" : "none");
  text.dir = "auto";
  text.tabIndex = 0;
  if (!answer.pieces.length) text.textContent = "No words.";
  for (const [said, other] of answer.pieces) {
    const piece = made(other ? "mark" : "span");
    piece.textContent = said;
    text.append(piece);
  }
  box.append(head, text);
  return box;
}

function made(tag, kind = "") {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  return element;
}
