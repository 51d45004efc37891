// What candidates answered, as rows, bars and words.

const SAY_MS = 900; // of quiet, before a screen reader is told
export const $ = (id) => document.getElementById(id);
export const bytesOf = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
export const candidates = [];
const seen = $("seen").getContext("2d");

let chosen = 0; // whose bars are the large ones
let picked = false; // by a person
let sayTimer = 0;

const percent = (share) => (share > 0.9995 && share < 1 ? ">99.9 %" : `${(100 * share).toFixed(1)} %`);
const whole = (share) => (share < 0.005 ? "" : share > 0.995 && share < 1 ? ">99%" : `${Math.round(100 * share)}%`);
const micros = (time) => (time < 100 ? time.toFixed(1) : Math.round(time).toLocaleString("en"));

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export function build() {
  chosen = Math.max(0, candidates.findIndex((one) => one.state !== "absent"));
  $("bars").replaceChildren(...Array.from({ length: 10 }, (_, digit) => element("li", {},
    element("div", { className: "shaft" }, element("div", { className: "fill" })),
    element("span", { className: "digit", textContent: digit }), element("span", { className: "share" }))));
  $("ruler").firstChild.replaceChildren(...Array.from("0123456789", (digit) => element("span", { textContent: digit })));
  $("rows").replaceChildren(...candidates.map((one, at) => {
    const radio = element("input", { type: "radio", name: "candidate", checked: at === chosen });
    radio.addEventListener("change", () => {
      picked = true;
      choose(at);
    });
    const name = element("span", {}, `${one.backend} `, element("span", { textContent: one.precision }));
    const small = element("div", { className: "small" });
    for (let digit = 0; digit < 10; digit++) small.append(element("i", {}, element("b")));
    small.setAttribute("aria-hidden", "true");
    one.row = element("tr", {}, element("td", { title: one.runtime }, element("label", {}, radio, name)),
      element("td", { className: "label" }), element("td", { className: "number" }),
      element("td", { className: "number" }), element("td", {}, small));
    one.why = element("td", { className: "why", colSpan: 4 });
    one.cells = [...one.row.cells];
    return one.row;
  }));
  candidates.forEach((_, at) => showRow(at));
  choose(chosen);
}

function choose(at) {
  chosen = at;
  candidates[at].row.querySelector("input").checked = true;
  candidates.forEach((one, number) => one.row.classList.toggle("chosen", number === at));
  showBars();
}

const STATES = { starting: "starting…", busy: "busy: ", crashed: "crashed: ", refused: "failed: ", absent: "" };

export function showRow(at) {
  const one = candidates[at];
  const answer = one.answer ?? { state: one.state, why: one.why_text };
  const idle = answer.state === "ready";
  const fine = answer.state === "answered" || idle;
  one.row.classList.remove("crashed", "refused", "differs");
  one.row.classList.add(answer.state);
  if (fine !== one.fine) one.row.replaceChildren(one.cells[0], ...(fine ? one.cells.slice(1) : [one.why]));
  one.fine = fine;
  if (!fine) {
    one.why.textContent = (STATES[answer.state] ?? "") + (answer.why ?? "");
  } else {
    const [, label, sure, time, small] = one.cells;
    label.textContent = idle ? "" : answer.label;
    sure.textContent = idle ? "" : percent(answer.probabilities[answer.label]);
    time.textContent = idle ? "" : micros(answer.microseconds);
    [...small.firstChild.children].forEach((bar, digit) => {
      bar.firstChild.style.height = idle ? "0" : `${100 * answer.probabilities[digit]}%`;
    });
  }
  if (at === chosen) showBars();
}

function showBars() {
  const one = candidates[chosen];
  const answer = one?.answer?.state === "answered" ? one.answer : null;
  [...$("bars").children].forEach((bar, digit) => {
    const share = answer ? answer.probabilities[digit] : 0;
    bar.classList.toggle("best", answer?.label === digit);
    bar.querySelector(".fill").style.height = `${100 * share}%`;
    bar.querySelector(".share").textContent = whole(share);
  });
  $("whose").textContent = one ? `${one.backend} ${one.precision}${one.runtime ? `: ${one.runtime}` : ""}` : "";
}

export function showSeen(text) {
  const pixels = seen.createImageData(28, 28);
  bytesOf(text).forEach((grey, at) => pixels.data.set([grey, grey, grey, 255], 4 * at));
  seen.putImageData(pixels, 0, 0);
}

export function showVerdict() {
  const answered = candidates.filter((one) => one.answer?.state === "answered");
  const votes = new Map();
  for (const one of answered) votes.set(one.answer.label, [...(votes.get(one.answer.label) ?? []), one]);
  const ordered = [...votes].sort((a, b) => b[1].length - a[1].length);
  const most = ordered[0]?.[0];
  for (const one of candidates) {
    const differs = one.answer?.state === "answered" && one.answer.label !== most;
    one.row.classList.toggle("differs", differs);
    if (one.answer?.state === "answered") one.cells[1].textContent = `${differs ? "≠ " : ""}${one.answer.label}`;
  }
  if (!picked && answered.length && candidates[chosen].answer?.state !== "answered") choose(candidates.indexOf(answered[0]));
  const silent = candidates.length - answered.length;
  const names = (list) => (list.length > 3 ? `${list.length} candidates`
    : list.map((one) => `${one.backend} ${one.precision}`).join(", "));
  const dissent = ordered.slice(1).map(([label, list]) => `${names(list)}: ${label}`).join("; ");
  $("summary").textContent = most === undefined ? "No answer yet" : dissent ? `Mostly ${most}` : `It is ${most === 8 ? "an" : "a"} ${most}`;
  $("detail").textContent = [
    most !== undefined && !dissent && `says ${answered.length === 1 ? names(answered) : `each of ${answered.length}`}`,
    dissent && `${ordered[0][1].length} of ${answered.length}; but ${dissent}`,
    silent && `${silent} without an answer`,
  ].filter(Boolean).join("; ");
  $("seen").setAttribute("aria-label", "The drawing in 28 × 28 pixels, as the models see it");
  say();
}

function say() {
  clearTimeout(sayTimer);
  sayTimer = setTimeout(() => {
    const first = candidates[chosen]?.answer;
    const sure = first?.state === "answered" ? `, ${percent(first.probabilities[first.label])} sure` : "";
    $("said").textContent = `${$("summary").textContent}${sure}. ${$("detail").textContent}`;
  }, SAY_MS);
}

export function trouble(why) {
  $("trouble").textContent = why;
}

export function blank(why) {
  clearTimeout(sayTimer);
  seen.clearRect(0, 0, 28, 28);
  $("seen").setAttribute("aria-label", "Nothing seen yet");
  $("summary").textContent = why;
  $("detail").textContent = $("took").textContent = $("said").textContent = "";
  for (const one of candidates) if (one.answer?.state !== "crashed") one.answer = null;
  candidates.forEach((_, at) => showRow(at));
}
