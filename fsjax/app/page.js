// The page: photos come in, are painted on, and are sent off to be segmented.

import { addPhoto, ask, at, begin } from "./server.js";
import { Painter, Painting } from "./painter.js";
import { Results } from "./results.js";

const by = id => document.getElementById(id);
const SLOW = 4000; // milliseconds after which a first answer is explained

const supports = [], queries = [];
const classes = [{ name: "object" }];
let facts, painter, results, current = null, fittedTo = "", working = false, stopping = false, adding = 0;

/** Says what went wrong, until the next thing is done; nothing takes the sentence away. */
function tell(sentence = "") {
  by("message").textContent = sentence;
  by("message").hidden = !sentence;
}

// Runs what a button starts, and says why it failed.
const trying = action => async event => {
  tell();
  try { await action(event); } catch (error) { tell(error.message); }
};

/** Makes an element. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Photos

async function add(files, photos, strip) {
  const failed = [];
  adding++;
  for (const [i, file] of [...files].entries()) {
    by("status").textContent = `Adding photo ${i + 1} of ${files.length} …`;
    try {
      if (file.size > facts.limits.upload) {
        const most = Math.floor(facts.limits.upload / 2 ** 20);
        throw new Error(`${file.name} has more than ${most} MB: make it smaller.`);
      }
      const photo = { ...await addPhoto(file), url: URL.createObjectURL(file) };
      photos.push(photo);
      if (photos === supports) photo.painting = new Painting(photo.width, photo.height);
      strip();
      if (photos === supports && !current) open(photo);
    } catch (error) {
      failed.push(error.message);
    }
  }
  adding--;
  by("status").textContent = "";
  refresh();
  if (failed.length) {
    tell(failed[0] + (failed.length > 1 ? ` ${failed.length - 1} more could not be added either.` : ""));
  }
}

async function remove(photo, photos, strip) {
  await ask("DELETE", `/photos/${photo.photo}`);
  photos.splice(photos.indexOf(photo), 1);
  URL.revokeObjectURL(photo.url);
  if (photos === queries) results.remove(photo);
  if (photo === current) {
    current = null;
    by("painting").hidden = !supports.length;
    if (supports.length) open(supports.at(-1));
  }
  strip();
  refresh();
}

function thumbnail(photo, photos, strip, properties = {}, note = "") {
  const image = element("img", { src: photo.url, alt: "" });
  // What a browser cannot show, a TIFF for instance, the server can.
  image.addEventListener("error", () => { image.src = photo.url = at(`/photos/${photo.photo}`); }, { once: true });
  const open = element("button", { type: "button", className: "thumb", title: photo.name, ...properties },
    image, photo.name, element("span", { className: "note", textContent: note }));
  const away = element("button", { type: "button", className: "remove", textContent: "×" });
  away.ariaLabel = `Remove ${photo.name}`;
  away.addEventListener("click", trying(() => remove(photo, photos, strip)));
  return [element("li", {}, open, away), open];
}

function showSupports() {
  by("support-strip").replaceChildren(...supports.map(photo => {
    const painted = photo.painting.counts().slice(1).some(Boolean);
    const [item, button] = thumbnail(photo, supports, showSupports, { ariaPressed: photo === current },
      painted ? "painted" : "not painted yet");
    button.addEventListener("click", () => { open(photo); });
    return item;
  }));
}

function showQueries() {
  by("query-strip").replaceChildren(...queries.map(photo => {
    const [item, button] = thumbnail(photo, queries, showQueries);
    button.addEventListener("click", () => results.enlarge(photo.url, photo.name));
    return item;
  }));
}

// Painting

function open(photo) {
  current = photo;
  by("painting").hidden = false;
  by("photo").src = at(`/photos/${photo.photo}`);
  by("photo").alt = photo.name;
  painter.zoom = 1;
  painter.open(photo.painting);
  showZoom();
  painted();
}

function painted() {
  const { width, height, steps } = current.painting, counts = current.painting.counts();
  const parts = classes.map(({ name }, i) => `${name} ${percent(counts[i + 1] / (width * height))}`);
  by("painted").textContent = `${current.name}, ${width} × ${height} pixels: ${parts.join(", ")} painted.`;
  by("undo").disabled = !steps.length;
  showSupports();
  refresh();
}

const percent = share => `${(100 * share).toFixed(share && share < 0.1 ? 1 : 0)}%`;

function showClasses() {
  by("classes").replaceChildren(...classes.map((of, i) => {
    const chosen = element("input", { type: "radio", name: "class", checked: painter.label === i + 1 });
    chosen.ariaLabel = `Paint class ${i + 1}`;
    chosen.addEventListener("change", () => { painter.label = i + 1; });
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = facts.colors[i];
    const name = element("input", { type: "text", value: of.name, maxLength: 60 });
    name.ariaLabel = `Name of class ${i + 1}`;
    name.addEventListener("change", () => { of.name = name.value; painted(); });
    const away = element("button", { type: "button", textContent: "×", hidden: classes.length === 1 });
    away.ariaLabel = `Remove class ${i + 1} and its paint`;
    away.addEventListener("click", () => removeClass(i));
    return element("div", { className: "class" }, chosen, swatch, name, away);
  }));
  by("add-class").hidden = classes.length >= facts.colors.length;
}

function removeClass(i) {
  classes.splice(i, 1);
  for (const { painting } of supports) painting.without(i + 1);
  painter.label = Math.min(painter.label, classes.length);
  painter.draw();
  showClasses();
  painted();
}

async function sendMask(photo) {
  const { painting } = photo;
  if (photo.sent === painting.version) return;
  const { version } = painting;
  await ask("PUT", `/photos/${photo.photo}/mask`, { runs: painting.runs() });
  photo.sent = version;
}

async function saveMask() {
  await sendMask(current);
  element("a", { href: at(`/photos/${current.photo}/mask`), download: "" }).click();
}

function showZoom() {
  by("zoom").textContent = `${Math.round(100 * painter.scale)}%`;
}

function zoom(factor) {
  painter.zoom = Math.min(Math.max(painter.zoom * factor, 1), 16);
  painter.fit();
  showZoom();
}

// Segmenting

function refresh() {
  by("segment").disabled = working || adding > 0 || !supports.length || !queries.length;
  by("stop").hidden = by("progress").hidden = !working;
}

async function segment() {
  working = true;
  stopping = false;
  refresh();
  try {
    const threshold = Number(by("threshold").value) || null;
    await fit();
    const due = queries.filter(photo => !results.has(photo, threshold));
    for (const [i, photo] of due.entries()) {
      if (stopping) break;
      if (!queries.includes(photo)) continue; // removed meanwhile
      progress(i, due.length, `Photo ${i + 1} of ${due.length} …`);
      try {
        const found = await patiently(ask("POST", "/results", { photo: photo.photo, threshold }));
        if (queries.includes(photo)) results.show(photo, found, threshold);
      } catch (error) {
        if (error.fatal) throw error;
        if (queries.includes(photo)) results.fail(photo, error.message);
      }
    }
    results.finish();
    by("status").textContent = stopping ? "Stopped." : "Done.";
  } catch (error) {
    by("status").textContent = "";
    throw error;
  } finally {
    working = false;
    refresh();
  }
}

async function fit() {
  const wanted = JSON.stringify([supports.map(p => [p.photo, p.painting.version]), classes]);
  if (wanted === fittedTo) return;
  progress(0, 0, "Looking at the painted photos …");
  for (const photo of supports) await sendMask(photo);
  fittedTo = "";
  results.clear(classes.map(one => one.name));
  const found = await patiently(ask("POST", "/fit", {
    supports: supports.map(photo => photo.photo), classes: classes.map(one => one.name),
  }));
  fittedTo = wanted;
  const notes = supports.map(p => [p.name, found.notes[p.photo]]).filter(([, note]) => note.length);
  by("check").hidden = !notes.length;
  by("check-notes").replaceChildren(...notes.map(([name, note]) =>
    element("li", { textContent: `${name} – ${note.join(", ")}` })));
  by("check-warnings").replaceChildren(...found.warnings.map(one => element("li", { textContent: one })));
}

function progress(done, all, sentence) {
  by("progress").max = all || 1;
  if (all) by("progress").value = done;
  else by("progress").removeAttribute("value");
  by("status").textContent = sentence;
}

// Says why an answer takes so long.
async function patiently(answer) {
  const hint = setTimeout(() => {
    by("status").textContent += " The first photo of a size takes longer: programs are being compiled.";
  }, SLOW);
  try { return await answer; } finally { clearTimeout(hint); }
}

function showSettings() {
  const threshold = Number(by("threshold").value);
  by("threshold-value").textContent = threshold ? threshold.toFixed(2) : "automatic";
  by("presence-value").textContent = Number(by("presence").value).toFixed(2);
}

// Everything has its place

function takesFiles(section, input, photos, strip) {
  const given = trying(() => add([...input.files], photos, strip).finally(() => { input.value = ""; }));
  input.addEventListener("change", given);
  section.addEventListener("dragover", event => { event.preventDefault(); section.classList.add("over"); });
  section.addEventListener("dragleave", () => section.classList.remove("over"));
  section.addEventListener("drop", trying(async event => {
    event.preventDefault();
    section.classList.remove("over");
    await add([...event.dataTransfer.files], photos, strip);
  }));
}

function listen() {
  takesFiles(by("supports"), by("support-files"), supports, showSupports);
  takesFiles(by("queries"), by("query-files"), queries, showQueries);
  for (const kind of ["dragover", "drop"]) addEventListener(kind, event => event.preventDefault());
  by("tools").addEventListener("change", event => { painter.tool = event.target.value; });
  by("size").addEventListener("input", () => {
    painter.size = Number(by("size").value);
    by("size-value").textContent = by("size").value;
  });
  by("undo").addEventListener("click", () => painter.undo());
  by("clear").addEventListener("click", () => painter.clear());
  by("save-mask").addEventListener("click", trying(saveMask));
  by("smaller").addEventListener("click", () => zoom(1 / 1.5));
  by("larger").addEventListener("click", () => zoom(1.5));
  addEventListener("keydown", event => {
    const writing = event.target.matches("input[type=text]");
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !writing && current) {
      event.preventDefault();
      painter.undo();
    }
  });
  by("add-class").addEventListener("click", () => {
    classes.push({ name: `class ${classes.length + 1}` });
    painter.label = classes.length;
    showClasses();
    painted();
  });
  by("segment").addEventListener("click", trying(segment));
  by("stop").addEventListener("click", () => { stopping = true; });
  by("threshold").addEventListener("input", showSettings);
  by("presence").addEventListener("input", () => { showSettings(); results.judge(); });
  addEventListener("beforeunload", event => {
    if (supports.some(photo => photo.painting.version)) event.preventDefault();
  });
}

await trying(async () => {
  facts = await begin();
  by("model").textContent = `Model: ${facts.model}`;
  by("presence").value = facts.min_presence;
  painter = new Painter({
    stage: by("stage"), sheet: by("sheet"), canvas: by("canvas"), brush: by("brush"), colors: facts.colors,
    changed: painted,
  });
  results = new Results(facts.colors, element);
  listen();
  showClasses();
  showSettings();
  refresh();
  document.body.dataset.ready = "yes";
})();
