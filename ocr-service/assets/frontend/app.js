// The page's behaviour: choose or drop a letter, send it, show each stage while it runs, and the result with its words.
"use strict";

const texts = JSON.parse(document.body.dataset.texts);
const at = (id) => document.getElementById(id);
const [form, drop, file, result] = ["form", "drop", "file", "result"].map(at);

let running = false;
let chosen = null; // the File to send
let shownUrl = null; // its blob: address
let clock = null; // of the stage that runs

// Choosing a letter

function choose(picked) {
  if (!picked) return;
  if (picked.type && !picked.type.startsWith("image/")) return fail(null, texts.error_image);
  chosen = picked;
  if (shownUrl) URL.revokeObjectURL(shownUrl);
  shownUrl = URL.createObjectURL(picked);
  const image = at("preview-image");
  image.hidden = false;
  image.src = shownUrl;
  at("preview-name").textContent = picked.name;
  at("preview").hidden = false;
  drop.classList.add("filled");
  at("error").hidden = true;
}

// TIFF is read by the server and shown by no browser.
at("preview-image").addEventListener("error", (event) => {
  event.target.hidden = true;
  at("preview-name").textContent = `${chosen ? chosen.name : ""} – ${texts.no_preview}`;
});
file.addEventListener("change", () => choose(file.files[0]));
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => { event.preventDefault(); choose(event.dataTransfer.files[0]); });
// A file that misses the field must not replace the page.
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
addEventListener("paste", (event) => choose(event.clipboardData && event.clipboardData.files[0]));

// Stages

function stage(name, state, note) {
  const item = document.querySelector(`[data-stage="${name}"]`);
  clearInterval(clock);
  item.dataset.state = state;
  const shown = item.querySelector(".state");
  shown.textContent = note || texts[state];
  if (state === "running" && !note) {
    const begun = performance.now();
    clock = setInterval(() => { shown.textContent = seconds(performance.now() - begun); }, 100);
  }
  at("status").textContent = `${texts["stage_" + name]}: ${texts[state]}`;
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} ${texts.seconds}`;

function fail(name, message) {
  clearInterval(clock);
  const failed = name || (document.querySelector('[data-state="running"]') || { dataset: {} }).dataset.stage;
  if (failed) stage(failed, "failed");
  at("error-text").textContent = message;
  at("error").hidden = false;
  finish();
}

function begin() {
  running = true;
  for (const button of [at("send"), at("sample")]) button.setAttribute("aria-disabled", "true");
  for (const name of ["upload", "ocr", "translate"]) stage(name, "waiting");
  at("error").hidden = true;
  result.hidden = true;
  stage("upload", "running");
  document.querySelector(".progress").scrollIntoView({ behavior: scrolling(), block: "nearest" });
}

function finish() {
  running = false;
  for (const button of [at("send"), at("sample")]) button.removeAttribute("aria-disabled");
}

// Sending

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return;
  const sample = event.submitter === at("sample");
  if (!sample && !chosen) {
    fail(null, texts.error_none);
    file.focus();
    return;
  }
  const body = new FormData();
  body.set("target", at("target").value);
  if (sample) body.set("sample", "letter");
  else body.set("file", chosen);
  begin();
  send(body, sample ? "/assets/letter.jpg" : shownUrl);
});

// Not fetch: only this tells how much of the upload has gone.
function send(body, picture) {
  const request = new XMLHttpRequest();
  const begun = performance.now();
  const read = reader((name, data) => hear(name, data, picture));
  let ended = false;
  request.open("POST", "/api/translate");
  request.setRequestHeader("accept", "text/event-stream");
  request.upload.onprogress = ({ lengthComputable, loaded, total }) => {
    if (lengthComputable && loaded < total) stage("upload", "running", `${Math.floor((100 * loaded) / total)} %`);
  };
  request.upload.onload = () => stage("upload", "done", seconds(performance.now() - begun));
  request.onprogress = () => { if (request.status === 200) ended = read(request.responseText); };
  request.onload = () => {
    if (request.status !== 200) return fail("upload", reason(request));
    if (!ended) ended = read(request.responseText);
    if (!ended) fail(null, texts.error_broken);
  };
  request.onerror = () => fail(null, request.status === 200 ? texts.error_broken : texts.error_network);
  request.send(body);
}

function reason(request) {
  try {
    return JSON.parse(request.responseText).error;
  } catch {
    return `${request.status} ${request.statusText}`;
  }
}

// Reads server-sent events from a text that grows; true once the last one has come.
function reader(tell) {
  let done = 0;
  let last = false;
  return (text) => {
    for (let end = text.indexOf("\n\n", done); end >= 0; end = text.indexOf("\n\n", done)) {
      const lines = text.slice(done, end).split("\n");
      done = end + 2;
      const field = (name) => (lines.find((line) => line.startsWith(`${name}: `)) || "").slice(name.length + 2);
      if (!field("event")) continue; // a comment that keeps the connection alive
      last = field("event") === "result" || field("event") === "error";
      tell(field("event"), JSON.parse(field("data")));
    }
    return last;
  };
}

function hear(name, data, picture) {
  if (name === "stage" && data.stage !== "upload") stage(data.stage, data.state, data.ms && seconds(data.ms));
  else if (name === "recognised") show(data, picture);
  else if (name === "result") { show(data, picture); finish(); result.focus({ preventScroll: true }); reveal(); }
  else if (name === "error") fail(data.stage, data.error);
}

// The result

function show({ text, words, translation, target }, picture) {
  at("original").textContent = text.trim();
  at("translation").textContent = translation === undefined ? "…" : translation;
  at("translation").lang = target || "";
  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = !navigator.clipboard || translation === undefined;
  }
  const letter = at("letter");
  letter.onload = () => { at("picture").hidden = false; draw(words || [], letter); };
  letter.onerror = () => { at("picture").hidden = true; };
  if (letter.getAttribute("src") === picture && letter.complete) letter.onload();
  else letter.src = picture;
  result.hidden = false;
}

function draw(words, letter) {
  const boxes = at("boxes");
  boxes.setAttribute("viewBox", `0 0 ${letter.naturalWidth} ${letter.naturalHeight}`);
  boxes.replaceChildren(...words.filter((word) => word.box).map(({ text, confidence, box }) => {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const side of ["x", "y", "width", "height"]) rect.setAttribute(side, box[side]);
    rect.setAttribute("rx", "4");
    if (confidence < 60) rect.classList.add("unsure");
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = confidence === undefined ? text : `${text} (${Math.round(confidence)} %)`;
    rect.append(title);
    return rect;
  }));
  at("words").hidden = words.length === 0;
  at("count").textContent = `${texts.words_found} ${words.length}`;
}

function reveal() {
  result.scrollIntoView({ behavior: scrolling(), block: "nearest" });
}

const scrolling = () => (matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth");

at("show-boxes").addEventListener("change", ({ target }) => { at("boxes").toggleAttribute("hidden", !target.checked); });
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(at(button.dataset.copy).textContent);
    button.textContent = texts.copied;
    at("status").textContent = texts.copied;
    setTimeout(() => { button.textContent = texts.copy; }, 2000);
  });
}
