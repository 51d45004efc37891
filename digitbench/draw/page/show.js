// What candidates answered, as rows, bars and words.

const ANNOUNCE_MS = 900; // of quiet, before a screen reader says it
export const $ = (id) => document.getElementById(id);
export const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
export const candidates = [];
export const task = { digits: true, names: [..."0123456789"], shape: [28, 28], shown: 10, text: "" };
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

const sizeText = () => `${task.shape[0]} × ${task.shape[1]}`;
const ranked = (probabilities, count) => probabilities.map((share, label) => [share, label])
  .sort((a, b) => b[0] - a[0] || a[1] - b[1]).slice(0, count);

// The page of a model that tells apart other things than digits: pictures are shown to it, and nothing is drawn.
export function adapt(told) {
  Object.assign(task, told);
  [$("seen").height, $("seen").width] = task.shape;
  if (task.digits) return;
  document.body.classList.add("pictures");
  document.title = "digitbench: show a picture";
  document.querySelector("h1").textContent = "Show a picture";
  $("drawing-head").textContent = "Picture";
  $("hint").replaceChildren("Drop a picture here, paste one,", element("br"), "or click to choose one");
  const sheet = { role: "button", "aria-label": "Choose a picture", "aria-roledescription": "button" };
  for (const [name, value] of Object.entries(sheet)) $("paper").setAttribute(name, value);
  $("seen-figure").lastElementChild.replaceChildren("what the models see:", element("br"), `${sizeText()} pixels`);
  $("bars").setAttribute("aria-label", "Probabilities of the likeliest classes");
  $("ruler").setAttribute("aria-label", "the next likeliest class");
  $("ruler").textContent = "then";
  $("keys").textContent = "Escape or Delete clears, Ctrl+V pastes a picture.";
  if ($("summary").textContent === "Nothing drawn yet") $("summary").textContent = nothing();
}

export const nothing = () => (task.digits ? "Nothing drawn yet" : "No picture yet");

export function build() {
  chosen = Math.max(0, candidates.findIndex((candidate) => candidate.state !== "absent"));
  $("bars").replaceChildren(...Array.from({ length: task.shown }, (_, digit) => element("li", {},
    element("div", { className: "shaft" }, element("div", { className: "fill" })),
    element("span", { className: "digit", textContent: task.digits ? digit : "" }), element("span", { className: "share" }))));
  if (task.digits) $("ruler").firstChild.replaceChildren(...Array.from("0123456789", (digit) => element("span", { textContent: digit })));
  $("rows").replaceChildren(...candidates.map((candidate, index) => {
    const radio = element("input", { type: "radio", name: "candidate", checked: index === chosen });
    radio.addEventListener("change", () => {
      pickedByUser = true;
      choose(index);
    });
    const name = element("span", {}, `${candidate.backend} `, element("span", { textContent: candidate.precision }));
    const smallBars = element("div", { className: task.digits ? "small" : "then" });
    if (task.digits) {
      for (let digit = 0; digit < 10; digit++) smallBars.append(element("i", {}, element("b")));
      smallBars.setAttribute("aria-hidden", "true");
    }
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
    label.textContent = idle ? "" : task.names[answer.label];
    sure.textContent = idle ? "" : percent(answer.probabilities[answer.label]);
    [...smallBars.firstChild.children].forEach((bar, digit) => {
      bar.firstChild.style.height = idle ? "0" : `${100 * answer.probabilities[digit]}%`;
    });
    if (!task.digits) {
      const next = idle ? [] : ranked(answer.probabilities, 3).filter(([, other]) => other !== answer.label).slice(0, 1);
      smallBars.firstChild.textContent = next.map(([share, other]) => `${task.names[other]} ${percent(share)}`).join("");
    }
  }
  if (index === chosen) showBars();
}

function showBars() {
  const candidate = candidates[chosen];
  const answer = candidate?.answer?.state === "answered" ? candidate.answer : null;
  const likeliest = !task.digits && answer ? ranked(answer.probabilities, task.shown) : [];
  [...$("bars").children].forEach((bar, index) => {
    const [share, label] = task.digits ? [answer ? answer.probabilities[index] : 0, index] : (likeliest[index] ?? [0, -1]);
    bar.classList.toggle("best", answer?.label === label);
    bar.querySelector(".fill").style[task.digits ? "height" : "width"] = `${100 * share}%`;
    bar.querySelector(".share").textContent = wholePercent(share);
    if (!task.digits) bar.querySelector(".digit").textContent = task.names[label] ?? "";
  });
  const runtime = candidate?.runtime ? `: ${candidate.runtime}` : "";
  $("whose").textContent = candidate ? `${candidate.backend} ${candidate.precision}${runtime}` : "";
}

export function showSeen(text) {
  const [height, width, channels = 1] = task.shape;
  const [pixels, values] = [seenContext.createImageData(width, height), bytesOf(text)];
  for (let index = 0; index < width * height; index++) {
    const at = (channel) => values[channels * index + Math.min(channel, channels - 1)];
    pixels.data.set([at(0), at(1), at(2), 255], 4 * index);
  }
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
    if (answer?.state === "answered") candidate.cells[1].textContent = `${differs ? "≠ " : ""}${task.names[answer.label]}`;
  }
  if (!pickedByUser && answered.length && candidates[chosen].answer?.state !== "answered") {
    choose(candidates.indexOf(answered[0]));
  }
  const silent = candidates.length - answered.length;
  const names = (list) => (list.length > 3 ? `${list.length} candidates`
    : list.map((candidate) => `${candidate.backend} ${candidate.precision}`).join(", "));
  const dissent = ordered.slice(1).map(([label, list]) => `${names(list)}: ${task.names[label]}`).join("; ");
  $("summary").textContent = majority === undefined ? "No answer yet"
    : dissent ? `Mostly ${task.names[majority]}` : !task.digits ? task.names[majority] : `It is ${majority === 8 ? "an" : "a"} ${majority}`;
  $("detail").textContent = [
    majority !== undefined && !dissent && `says ${answered.length === 1 ? names(answered) : `each of ${answered.length}`}`,
    dissent && `${ordered[0][1].length} of ${answered.length}; but ${dissent}`,
    silent && `${silent} without an answer`,
  ].filter(Boolean).join("; ");
  $("seen").setAttribute("aria-label", `The ${task.digits ? "drawing" : "picture"} in ${sizeText()} pixels, as the models see it`);
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
  seenContext.clearRect(0, 0, $("seen").width, $("seen").height);
  $("seen").setAttribute("aria-label", "Nothing seen yet");
  $("summary").textContent = why;
  $("detail").textContent = $("took").textContent = $("said").textContent = "";
  for (const candidate of candidates) if (candidate.answer?.state !== "crashed") candidate.answer = null;
  candidates.forEach((_, index) => showRow(index));
}
