// Strokes become pixels, pixels go to the server, and its answers are shown as they stream in.
// At most one request is under way: what is drawn meanwhile goes with the next one.

import { $, blank, build, bytesOf, candidates, showRow, showSeen, showVerdict, trouble } from "/show.js";

const SIDE = 140; // pixels of the drawing that is sent, and units of a stroke's points
const PEN = 10.5;
const MOST_BYTES = 100_000_000; // of a picture; the server refuses more
const LARGE = 4_000_000; // pixels: a picture of more is sent smaller, where the browser can read it
const LARGE_SIDE = 1600;
const POLL_MS = 400; // until all candidates have started, or answered
const paper = $("paper");
const sent = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE })
  .getContext("2d", { willReadFrequently: true });
const shown = paper.getContext("2d");

let strokes = []; // arrays of [x, y]
let open = new Map(); // pointer → the stroke that it draws
let picture = null; // of a file: {file, bitmap, name}; then there are no strokes
let lastSeen = null; // 28 × 28 bytes, as base64
let version = 0; // of what is drawn
let wanted = false; // it has to be asked
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
  const width = paper.width;
  shown.fillStyle = "#fff";
  shown.fillRect(0, 0, width, width);
  if (picture?.bitmap) {
    const share = Math.min(width / picture.bitmap.width, width / picture.bitmap.height);
    const [w, h] = [picture.bitmap.width * share, picture.bitmap.height * share];
    shown.drawImage(picture.bitmap, (width - w) / 2, (width - h) / 2, w, h);
  } else if (picture) {
    shown.fillStyle = "#333";
    shown.font = `${width / 18}px system-ui, sans-serif`;
    shown.textAlign = "center";
    shown.fillText(picture.name, width / 2, width / 2, width * 0.9);
  }
  draw(shown, width / SIDE, "#111");
  if (pen.shown) {
    shown.lineWidth = 3;
    shown.strokeStyle = pen.stroke ? "#d55e00" : "#0072b2";
    shown.beginPath();
    shown.arc((pen.x * width) / SIDE, (pen.y * width) / SIDE, width / 28, 0, 7);
    shown.stroke();
  }
  const empty = !strokes.length && !picture;
  $("sheet").classList.toggle("used", !empty);
  $("undo").disabled = $("clear").disabled = empty;
}

function drawing() {
  sent.fillStyle = "#000";
  sent.fillRect(0, 0, SIDE, SIDE);
  draw(sent, 1, "#fff");
  const pixels = sent.getImageData(0, 0, SIDE, SIDE).data;
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
    wanted = true;
    pump();
  } else {
    wanted = false;
    waiting = [];
    blank("Nothing drawn yet");
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
  const gone = strokes.pop();
  for (const [id, stroke] of open) if (stroke === gone) open.delete(id);
  if (pen.stroke === gone) pen.stroke = null;
  if (gone) changed();
}

function place(event) {
  const box = paper.getBoundingClientRect();
  const inside = (at, size) => Math.max(0, Math.min(SIDE, (at / size) * SIDE));
  return [inside(event.clientX - box.left, box.width), inside(event.clientY - box.top, box.height)];
}

paper.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  picture = null;
  pen.shown = false;
  paper.setPointerCapture(event.pointerId);
  const stroke = [place(event)];
  open.set(event.pointerId, stroke);
  strokes.push(stroke);
  waiting.push(event.timeStamp);
  changed();
});
paper.addEventListener("pointermove", (event) => {
  const stroke = open.get(event.pointerId);
  if (!stroke) return;
  const passed = event.getCoalescedEvents?.() ?? [];
  for (const one of passed.length ? passed : [event]) stroke.push(place(one));
  waiting.push(event.timeStamp);
  changed();
});
for (const name of ["pointerup", "pointercancel"]) {
  paper.addEventListener(name, (event) => open.delete(event.pointerId));
}

// --- keys ---

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

paper.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key];
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
paper.addEventListener("blur", () => {
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
  const mine = (picture = { file: null, bitmap: null, name: file.name || "picture" });
  const began = performance.now();
  version += 1;
  wanted = false;
  waiting = [];
  blank("Reading…");
  paint();
  if (file.size > MOST_BYTES) return trouble(`${mine.name}: more than ${MOST_BYTES / 1e6} MB; choose a smaller picture`);
  const bitmap = await createImageBitmap(file).catch(() => null); // few browsers read HEIC: its name is shown
  const sendable = bitmap ? await lighter(bitmap, file) : file;
  if (picture !== mine) return;
  Object.assign(mine, { bitmap, file: sendable });
  waiting = [began];
  changed();
}

// The picture as it is, or a smaller copy of a large one, which takes less time and memory to send and to read.
async function lighter(bitmap, file) {
  if (bitmap.width * bitmap.height <= LARGE) return file;
  const share = LARGE_SIDE / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * share)));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, width, height);
  return (await new Promise((done) => canvas.toBlob(done))) ?? file;
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
  else trouble("That is no picture file; drop one from your disk");
});

// --- asking ---

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function pump() {
  if (asking) return;
  asking = true;
  while (wanted) {
    wanted = false;
    const covered = waiting;
    waiting = [];
    try {
      await ask(version, covered);
    } catch {
      trouble("The server doesn't answer: is digitbench draw still running?");
      blank("No answer");
    }
  }
  asking = false;
}

async function ask(mine, covered) {
  const again = lastSeen && bytesOf(lastSeen);
  const file = !again && picture?.file;
  const reply = await fetch(file ? "/image" : "/predict", { method: "POST", body: file || again || drawing() });
  if (reply.status === 503) {
    await pause(1000 * Number(reply.headers.get("Retry-After") || 1));
    wanted = wanted || mine === version;
    return;
  }
  if (!reply.ok) {
    const { error } = await reply.json().catch(() => ({ error: `the server said ${reply.status}` }));
    if (mine === version) {
      blank("No answer");
      trouble(error[0].toUpperCase() + error.slice(1));
    }
    return;
  }
  const took = { events: covered, first: 0, all: 0 };
  let open = false;
  for await (const line of linesOf(reply.body)) {
    if (!strokes.length && !picture) return; // cleared meanwhile
    if (line.seen) {
      if (mine === version) lastSeen = line.seen;
      showSeen(line.seen);
      continue;
    }
    candidates[line.candidate].answer = line;
    showRow(line.candidate);
    if (line.state === "answered" && !took.first) took.first = performance.now();
    open = open || line.state === "busy" || line.state === "starting";
  }
  took.all = performance.now();
  showVerdict();
  if (covered.length) tell(took);
  if (open && mine === version) setTimeout(() => { if (mine === version) { wanted = true; pump(); } }, POLL_MS);
}

async function* linesOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

function tell(took) {
  const late = (then) => Math.max(0, then - took.events.at(-1)).toFixed(0);
  if (took.first) {
    $("took").textContent = `From your last move to the first answer ${late(took.first)} ms, to all ${late(took.all)} ms.`;
  }
  document.dispatchEvent(new CustomEvent("answered", { detail: took }));
}

// --- the beginning ---

async function watch() {
  const found = await (await fetch("/candidates")).json();
  if (!candidates.length) {
    candidates.push(...found.candidates.map((one) => ({ ...one, answer: null })));
    $("about").textContent = `${found.bundle}: ${found.recipe}, trained on ${found.dataset}`;
    build();
  }
  found.candidates.forEach((one, at) => {
    const { state, why, runtime } = one;
    Object.assign(candidates[at], { state, runtime, why_text: why });
    candidates[at].row.cells[0].title = runtime;
    if (!candidates[at].answer) showRow(at);
  });
  if (found.candidates.some((one) => one.state === "starting")) pollTimer = setTimeout(poll, POLL_MS);
}

function poll() {
  clearTimeout(pollTimer);
  watch().catch(() => trouble("The server doesn't answer: is digitbench draw still running?"));
}

const scale = Math.min(3, window.devicePixelRatio || 1);
paper.width = paper.height = Math.round(340 * scale);
paint();
poll();
