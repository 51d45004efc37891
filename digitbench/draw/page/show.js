// What candidates answered, as rows, bars and words.

const ANNOUNCE_MS = 900; // of quiet, before a screen reader says it
export const $ = (id) => document.getElementById(id);
export const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
export const candidates = [];
const seenContext = $("seen").getContext("2d");

let chosen = 0; // whose bars are the large ones
let pickedByUser = false; // and no longer chosen by the page
let announceTimer = 0;

const percent = (share) => (share > 0.9995 && share < 1 ? ">99.9 %" : `${(100 * share).toFixed(1)} %`);
const wholePercent = (share) => (share < 0.005 ? "" : share > 0.995 && share < 1 ? ">99%" : `${Math.round(100 * share)}%`);

function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

export function build() {
  chosen = Math.max(0, candidates.findIndex((candidate) => candidate.state !== "absent"));
  $("bars").replaceChildren(...Array.from({ length: 10 }, (_, digit) => element("li", {},
    element("div", { className: "shaft" }, element("div", { className: "fill" })),
    element("span", { className: "digit", textContent: digit }), element("span", { className: "share" }))));
  $("ruler").firstChild.replaceChildren(...Array.from("0123456789", (digit) => element("span", { textContent: digit })));
  $("rows").replaceChildren(...candidates.map((candidate, index) => {
    const radio = element("input", { type: "radio", name: "candidate", checked: index === chosen });
    radio.addEventListener("change", () => {
      pickedByUser = true;
      choose(index);
    });
    const name = element("span", {}, `${candidate.backend} `, element("span", { textContent: candidate.precision }));
    const smallBars = element("div", { className: "small" });
    for (let digit = 0; digit < 10; digit++) smallBars.append(element("i", {}, element("b")));
    smallBars.setAttribute("aria-hidden", "true");
    candidate.row = element("tr", {}, element("td", { title: candidate.runtime }, element("label", {}, radio, name)),
      element("td", { className: "label" }), element("td", { className: "number" }), element("td", {}, smallBars));
    candidate.why = element("td", { className: "why", colSpan: 3 });
    candidate.cells = [...candidate.row.cells];
    return candidate.row;
  }));
  candidates.forEach((_, index) => showRow(index));
  choose(chosen);
}

function choose(index) {
  chosen = index;
  candidates[index].row.querySelector("input").checked = true;
  candidates.forEach((candidate, number) => candidate.row.classList.toggle("chosen", number === index));
  showBars();
}

// The first that is ready, until one is picked: slow ones take some ten seconds to start.
export function chooseReady() {
  const ready = candidates.findIndex((candidate) => candidate.state === "ready");
  if (!pickedByUser && ready >= 0 && candidates[chosen].state !== "ready") choose(ready);
}

const STATES = { starting: "starting…", busy: "busy: ", crashed: "crashed: ", refused: "failed: ", absent: "" };

export function showRow(index) {
  const candidate = candidates[index];
  const answer = candidate.answer ?? { state: candidate.state, why: candidate.why_text };
  const idle = answer.state === "ready";
  const showsAnswer = answer.state === "answered" || idle;
  candidate.row.classList.remove("crashed", "refused", "differs");
  candidate.row.classList.add(answer.state);
  if (showsAnswer !== candidate.showsAnswer) {
    candidate.row.replaceChildren(candidate.cells[0], ...(showsAnswer ? candidate.cells.slice(1) : [candidate.why]));
  }
  candidate.showsAnswer = showsAnswer;
  if (!showsAnswer) {
    candidate.why.textContent = (STATES[answer.state] ?? "") + (answer.why ?? "");
  } else {
    const [, label, sure, smallBars] = candidate.cells;
    label.textContent = idle ? "" : answer.label;
    sure.textContent = idle ? "" : percent(answer.probabilities[answer.label]);
    [...smallBars.firstChild.children].forEach((bar, digit) => {
      bar.firstChild.style.height = idle ? "0" : `${100 * answer.probabilities[digit]}%`;
    });
  }
  if (index === chosen) showBars();
}

function showBars() {
  const candidate = candidates[chosen];
  const answer = candidate?.answer?.state === "answered" ? candidate.answer : null;
  [...$("bars").children].forEach((bar, digit) => {
    const share = answer ? answer.probabilities[digit] : 0;
    bar.classList.toggle("best", answer?.label === digit);
    bar.querySelector(".fill").style.height = `${100 * share}%`;
    bar.querySelector(".share").textContent = wholePercent(share);
  });
  const runtime = candidate?.runtime ? `: ${candidate.runtime}` : "";
  $("whose").textContent = candidate ? `${candidate.backend} ${candidate.precision}${runtime}` : "";
}

export function showSeen(text) {
  const pixels = seenContext.createImageData(28, 28);
  bytesOf(text).forEach((grey, index) => pixels.data.set([grey, grey, grey, 255], 4 * index));
  seenContext.putImageData(pixels, 0, 0);
}

export function showVerdict() {
  const answered = candidates.filter((candidate) => candidate.answer?.state === "answered");
  const votes = new Map();
  for (const candidate of answered) {
    const { label } = candidate.answer;
    votes.set(label, [...(votes.get(label) ?? []), candidate]);
  }
  const ordered = [...votes].sort((a, b) => b[1].length - a[1].length);
  const majority = ordered[0]?.[0];
  for (const candidate of candidates) {
    const { answer } = candidate;
    const differs = answer?.state === "answered" && answer.label !== majority;
    candidate.row.classList.toggle("differs", differs);
    if (answer?.state === "answered") candidate.cells[1].textContent = `${differs ? "≠ " : ""}${answer.label}`;
  }
  if (!pickedByUser && answered.length && candidates[chosen].answer?.state !== "answered") {
    choose(candidates.indexOf(answered[0]));
  }
  const silent = candidates.length - answered.length;
  const names = (list) => (list.length > 3 ? `${list.length} candidates`
    : list.map((candidate) => `${candidate.backend} ${candidate.precision}`).join(", "));
  const dissent = ordered.slice(1).map(([label, list]) => `${names(list)}: ${label}`).join("; ");
  $("summary").textContent = majority === undefined ? "No answer yet"
    : dissent ? `Mostly ${majority}` : `It is ${majority === 8 ? "an" : "a"} ${majority}`;
  $("detail").textContent = [
    majority !== undefined && !dissent && `says ${answered.length === 1 ? names(answered) : `each of ${answered.length}`}`,
    dissent && `${ordered[0][1].length} of ${answered.length}; but ${dissent}`,
    silent && `${silent} without an answer`,
  ].filter(Boolean).join("; ");
  $("seen").setAttribute("aria-label", "The drawing in 28 × 28 pixels, as the models see it");
  announce();
}

function announce() {
  clearTimeout(announceTimer);
  announceTimer = setTimeout(() => {
    const first = candidates[chosen]?.answer;
    const sure = first?.state === "answered" ? `, ${percent(first.probabilities[first.label])} sure` : "";
    $("said").textContent = `${$("summary").textContent}${sure}. ${$("detail").textContent}`;
  }, ANNOUNCE_MS);
}

export function trouble(why) {
  $("trouble").textContent = why;
}

export function blank(why) {
  clearTimeout(announceTimer);
  seenContext.clearRect(0, 0, 28, 28);
  $("seen").setAttribute("aria-label", "Nothing seen yet");
  $("summary").textContent = why;
  $("detail").textContent = $("took").textContent = $("said").textContent = "";
  for (const candidate of candidates) if (candidate.answer?.state !== "crashed") candidate.answer = null;
  candidates.forEach((_, index) => showRow(index));
}
