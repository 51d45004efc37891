// Strokes become pixels, pixels go to the server, and its answers are shown as they stream in.
// At most one request is under way: what is drawn meanwhile goes with the next one.

import {
  $, adapt, blank, build, bytesOf, candidates, chooseReady, nothing, showRow, showSeen, showVerdict, task, trouble,
} from "/show.js";

const SIDE = 140; // pixels of the drawing that is sent, and units of a stroke's points
const PEN = 10.5;
const MOST_BYTES = 100_000_000; // of a picture; the server refuses more
const LARGE = 4_000_000; // pixels: a picture of more is sent smaller, where the browser can read it
const LARGE_SIDE = 1600;
const POLL_MS = 400; // until all candidates have started, or answered
const canvas = $("paper");
const sentContext = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE })
  .getContext("2d", { willReadFrequently: true });
const shownContext = canvas.getContext("2d");

let strokes = []; // arrays of [x, y]
let open = new Map(); // pointer → the stroke that it draws
let picture = null; // of a file: {file, bitmap, name}; then there are no strokes
let lastSeen = null; // a byte for each value of the picture that models see, as base64
let version = 0; // of what is drawn
let askPending = false; // it has to be asked
let asking = false;
let waiting = []; // when each pointer event came that no request has covered
let pollTimer = 0;
let pen = { x: SIDE / 2, y: SIDE / 2, stroke: null, shown: false }; // of the keyboard

// --- the drawing ---

function draw(context, scale, colour) {
  context.lineWidth = PEN * scale;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = context.fillStyle = colour;
  for (const stroke of strokes) {
    const [left, top] = stroke[0];
    context.beginPath();
    if (stroke.every(([x, y]) => x === left && y === top)) { // not all browsers draw a line without length
      context.arc(left * scale, top * scale, (PEN * scale) / 2, 0, 7);
      context.fill();
      continue;
    }
    context.moveTo(left * scale, top * scale);
    for (const [x, y] of stroke.slice(1)) context.lineTo(x * scale, y * scale);
    context.stroke();
  }
}

function paint() {
  const width = canvas.width;
  shownContext.fillStyle = "#fff";
  shownContext.fillRect(0, 0, width, width);
  if (picture?.bitmap) {
    const share = Math.min(width / picture.bitmap.width, width / picture.bitmap.height);
    const [w, h] = [picture.bitmap.width * share, picture.bitmap.height * share];
    shownContext.drawImage(picture.bitmap, (width - w) / 2, (width - h) / 2, w, h);
  } else if (picture) {
    shownContext.fillStyle = "#333";
    shownContext.font = `${width / 18}px system-ui, sans-serif`;
    shownContext.textAlign = "center";
    shownContext.fillText(picture.name, width / 2, width / 2, width * 0.9);
  }
  draw(shownContext, width / SIDE, "#111");
  if (pen.shown) {
    shownContext.lineWidth = 3;
    shownContext.strokeStyle = pen.stroke ? "#d55e00" : "#0072b2";
    shownContext.beginPath();
    shownContext.arc((pen.x * width) / SIDE, (pen.y * width) / SIDE, width / 28, 0, 7);
    shownContext.stroke();
  }
  const empty = !strokes.length && !picture;
  $("sheet").classList.toggle("used", !empty);
  $("undo").disabled = $("clear").disabled = empty;
}

function drawing() {
  sentContext.fillStyle = "#000";
  sentContext.fillRect(0, 0, SIDE, SIDE);
  draw(sentContext, 1, "#fff");
  const pixels = sentContext.getImageData(0, 0, SIDE, SIDE).data;
  const grey = new Uint8Array(SIDE * SIDE);
  for (let i = 0; i < grey.length; i++) grey[i] = pixels[4 * i];
  return grey;
}

function changed() {
  version += 1;
  lastSeen = null;
  $("trouble").textContent = "";
  paint();
  if (strokes.length || picture) {
    askPending = true;
    pump();
  } else {
    askPending = false;
    waiting = [];
    blank(nothing());
  }
}

function clear() {
  strokes = [];
  open.clear();
  picture = pen.stroke = null;
  changed();
}

function undo() {
  if (picture) return clear();
  const removed = strokes.pop();
  for (const [id, stroke] of open) if (stroke === removed) open.delete(id);
  if (pen.stroke === removed) pen.stroke = null;
  if (removed) changed();
}

function pointOf(event) {
  const box = canvas.getBoundingClientRect();
  const inside = (offset, size) => Math.max(0, Math.min(SIDE, (offset / size) * SIDE));
  return [inside(event.clientX - box.left, box.width), inside(event.clientY - box.top, box.height)];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !task.digits) return;
  picture = null;
  pen.shown = false;
  canvas.setPointerCapture(event.pointerId);
  const stroke = [pointOf(event)];
  open.set(event.pointerId, stroke);
  strokes.push(stroke);
  waiting.push(event.timeStamp);
  changed();
});
canvas.addEventListener("pointermove", (event) => {
  const stroke = open.get(event.pointerId);
  if (!stroke) return;
  const coalesced = event.getCoalescedEvents?.() ?? [];
  for (const moveEvent of coalesced.length ? coalesced : [event]) stroke.push(pointOf(moveEvent));
  waiting.push(event.timeStamp);
  changed();
});
for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, (event) => open.delete(event.pointerId));
}

// --- keys ---

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

canvas.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key];
  if (!task.digits && (event.key === "Enter" || event.key === " ")) $("file").click();
  if (!task.digits) return;
  if (event.ctrlKey || event.metaKey || event.altKey || !(arrow || event.key === " ")) return;
  event.preventDefault();
  pen.shown = true;
  if (arrow) {
    const step = event.shiftKey ? 2 : 7;
    pen.x = Math.max(PEN, Math.min(SIDE - PEN, pen.x + arrow[0] * step));
    pen.y = Math.max(PEN, Math.min(SIDE - PEN, pen.y + arrow[1] * step));
    if (!pen.stroke) return paint();
    pen.stroke.push([pen.x, pen.y]);
  } else if (pen.stroke) {
    pen.stroke = null;
    $("said").textContent = "Pen up";
    return paint();
  } else {
    picture = null;
    pen.stroke = [[pen.x, pen.y]];
    strokes.push(pen.stroke);
    $("said").textContent = "Pen down";
  }
  waiting.push(event.timeStamp);
  changed();
});
canvas.addEventListener("click", () => {
  if (!task.digits) $("file").click();
});
canvas.addEventListener("blur", () => {
  pen.shown = false;
  pen.stroke = null;
  paint();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" || event.key === "Delete") clear();
  else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey) undo();
  else return;
  event.preventDefault();
});
$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", clear);

// --- pictures ---

async function take(file) {
  strokes = [];
  open.clear();
  const taken = (picture = { file: null, bitmap: null, name: file.name || "picture" });
  const began = performance.now();
  version += 1;
  askPending = false;
  waiting = [];
  blank("Reading…");
  paint();
  if (file.size > MOST_BYTES) return trouble(`${taken.name}: more than ${MOST_BYTES / 1e6} MB; choose a smaller picture`);
  const bitmap = await createImageBitmap(file).catch(() => null); // few browsers read HEIC: its name is shown
  const sendable = bitmap ? await lighter(bitmap, file) : file;
  if (picture !== taken) return;
  Object.assign(taken, { bitmap, file: sendable });
  waiting = [began];
  changed();
}

// The picture as it is, or a smaller copy of a large one, which takes less time and memory to send and to read.
async function lighter(bitmap, file) {
  if (bitmap.width * bitmap.height <= LARGE) return file;
  const share = LARGE_SIDE / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * share)));
  const smaller = Object.assign(document.createElement("canvas"), { width, height });
  smaller.getContext("2d").drawImage(bitmap, 0, 0, width, height);
  return (await new Promise((done) => smaller.toBlob(done))) ?? file;
}

$("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = ""; // so that the same one can be chosen again
  if (file) take(file);
});
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) take(file);
  else trouble("There is no picture in the clipboard");
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", () => document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) take(file);
  else trouble("That is not a picture file; drop one from your disk");
});

// --- asking ---

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function pump() {
  if (asking) return;
  asking = true;
  while (askPending) {
    askPending = false;
    const coveredEvents = waiting;
    waiting = [];
    try {
      await ask(version, coveredEvents);
    } catch {
      trouble("The server doesn't answer: is digitbench draw still running?");
      blank("No answer");
    }
  }
  asking = false;
}

async function ask(askedVersion, coveredEvents) {
  const seenBytes = lastSeen && bytesOf(lastSeen);
  const file = !seenBytes && picture?.file;
  const reply = await fetch(file ? "/image" : "/predict", { method: "POST", body: file || seenBytes || drawing() });
  if (reply.status === 503) {
    await pause(1000 * Number(reply.headers.get("Retry-After") || 1));
    askPending = askPending || askedVersion === version;
    return;
  }
  if (!reply.ok) {
    const { error } = await reply.json().catch(() => ({ error: `the server said ${reply.status}` }));
    if (askedVersion === version) {
      blank("No answer");
      trouble(error[0].toUpperCase() + error.slice(1));
    }
    return;
  }
  const timing = { events: coveredEvents, first: 0, all: 0 };
  let unfinished = false;
  for await (const line of linesOf(reply.body)) {
    if (!strokes.length && !picture) return; // cleared meanwhile
    if (line.seen) {
      if (askedVersion === version) lastSeen = line.seen;
      showSeen(line.seen);
      if (line.remark) trouble(line.remark[0].toUpperCase() + line.remark.slice(1));
      continue;
    }
    candidates[line.candidate].answer = line;
    showRow(line.candidate);
    if (line.state === "answered" && !timing.first) timing.first = performance.now();
    unfinished = unfinished || line.state === "busy" || line.state === "starting";
  }
  timing.all = performance.now();
  showVerdict();
  if (coveredEvents.length) reportTiming(timing);
  const askAgain = () => {
    if (askedVersion !== version) return;
    askPending = true;
    pump();
  };
  if (unfinished && askedVersion === version) setTimeout(askAgain, POLL_MS);
}

async function* linesOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let remainder = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (remainder + value).split("\n");
    remainder = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

function reportTiming(timing) {
  const delay = (time) => Math.max(0, time - timing.events.at(-1)).toFixed(0);
  if (timing.first) {
    $("took").textContent =
      `From your last move to the first answer ${delay(timing.first)} ms, to all ${delay(timing.all)} ms.`;
  }
  document.dispatchEvent(new CustomEvent("answered", { detail: timing }));
}

// --- the beginning ---

async function watch() {
  const status = await (await fetch("/candidates")).json();
  if (!candidates.length) {
    candidates.push(...status.candidates.map((candidate) => ({ ...candidate, answer: null })));
    adapt(status.task);
    $("about").textContent = `${status.bundle}: ${status.recipe}, trained on ${status.dataset}`;
    if (!task.digits) $("about").textContent += ` (${task.text})`;
    build();
  }
  status.candidates.forEach((candidate, index) => {
    const { state, why, runtime } = candidate;
    Object.assign(candidates[index], { state, runtime, why_text: why });
    candidates[index].row.cells[0].title = runtime;
    if (!candidates[index].answer) showRow(index);
  });
  chooseReady();
  if (status.candidates.some((candidate) => candidate.state === "starting")) pollTimer = setTimeout(poll, POLL_MS);
}

function poll() {
  clearTimeout(pollTimer);
  watch().catch(() => trouble("The server doesn't answer: is digitbench draw still running?"));
}

const scale = Math.min(3, window.devicePixelRatio || 1);
canvas.width = canvas.height = Math.round(340 * scale);
paint();
poll();
