// What was found: a card for each photo, looked at in several ways, and saved.

import { at } from "./server.js";

const by = id => document.getElementById(id);
const VIEWS = {
  overlay: "overlay", probability: "probability map", similarity: "similarity map", mask: "mask", photo: "photo",
};
const MAPS = ["probability", "similarity"]; // one of each class
const REDRAWN = 200; // milliseconds after the last change of the presence

export class Results {
  constructor(colors, element) {
    Object.assign(this, { colors, element, cards: new Map(), classes: [], round: 0 });
    by("view").addEventListener("change", () => this.#look());
    by("which").addEventListener("change", () => this.#look());
    by("order").addEventListener("change", () => this.finish());
    by("close").addEventListener("click", () => by("large").close());
    by("large").addEventListener("click", event => { if (event.target === by("large")) by("large").close(); });
  }

  /** Forgets all: other things are looked for from now on. */
  clear(classes) {
    this.classes = classes;
    this.cards.clear();
    this.round++;
    by("cards").replaceChildren();
    by("results").hidden = true;
    by("which").replaceChildren(...classes.map((name, i) => new Option(name, i + 1)));
  }

  /** Says whether a photo has its result. */
  has(photo, threshold) {
    const card = this.cards.get(photo.photo);
    return Boolean(card?.found) && card.threshold === threshold;
  }

  /** Shows what was found in a photo. */
  show(photo, found, threshold) {
    this.#put(photo, { found, threshold, round: ++this.round });
  }

  /** Shows why nothing was found in a photo. */
  fail(photo, error) {
    this.#put(photo, { error });
  }

  /** Takes the card of a photo away. */
  remove(photo) {
    this.cards.get(photo.photo)?.box.remove();
    this.cards.delete(photo.photo);
    this.#count();
  }

  /** Puts the cards in order. */
  finish() {
    const order = by("order").value;
    const score = { likely: c => this.#most(c, "presence"), large: c => this.#most(c, "area") }[order] ?? (() => 0);
    const cards = [...this.cards.values()].sort((a, b) => score(b) - score(a));
    by("cards").append(...cards.map(card => card.box));
    this.#count();
  }

  /** Judges anew what counts as there. */
  judge() {
    for (const card of this.cards.values()) this.#write(card);
    this.#count();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#look(), REDRAWN);
  }

  /** Shows a picture as large as the window allows. */
  enlarge(url, caption) {
    const image = by("large").querySelector("img");
    image.src = url;
    image.alt = caption;
    by("caption").textContent = caption;
    by("large").showModal();
  }

  get #least() { return by("presence").value; }

  get #view() { return by("view").querySelector(":checked").value; }

  #there(one) { return one.area > 0 && (one.presence === null || one.presence >= Number(this.#least)); }

  #most(card, score) {
    return Math.max(-1, ...(card.found?.classes ?? []).filter(one => this.#there(one)).map(one => one[score] ?? 0));
  }

  #put(photo, news) {
    const { element } = this;
    const image = element("img", { loading: "lazy" });
    const picture = element("button", { type: "button", className: "picture", hidden: Boolean(news.error) }, image);
    const text = element("div", { className: "text" });
    const card = { photo, image, picture, text, ...news, box: element("article", { className: "card" }, picture, text) };
    picture.addEventListener("click", () => this.enlarge(image.src, image.alt));
    const old = this.cards.get(photo.photo);
    this.cards.set(photo.photo, card);
    if (old) old.box.replaceWith(card.box); else by("cards").append(card.box);
    by("results").hidden = false;
    this.#write(card);
    this.#look([card]);
    this.#count();
  }

  #write(card) {
    const { element } = this, title = element("h3", { textContent: card.photo.name });
    if (card.error) {
      card.text.replaceChildren(title, element("p", { className: "error", textContent: card.error }));
      return;
    }
    const save = element("a", { className: "button", download: "", textContent: "Save mask" });
    save.href = this.#address(card, "mask");
    save.ariaLabel = `Save the mask of ${card.photo.name}`;
    const lines = card.found.classes.flatMap((one, i) => this.#lines(card, one, i));
    card.text.replaceChildren(title, ...lines, element("div", { className: "row" }, save));
  }

  #lines(card, one, i) {
    const { element } = this, there = this.#there(one), kind = there ? "" : "absent";
    const dot = element("span", { className: "dot" });
    dot.style.background = this.colors[i];
    const two = value => value === null ? "–" : value.toFixed(2);
    const scores = {
      presence: two(one.presence), similarity: two(one.similarity), confidence: two(one.confidence),
      area: there ? `${(100 * one.area / card.found.pixels).toFixed(1)}%` : "–",
    };
    return [
      element("p", { className: `name ${kind}` }, dot, one.name, there ? "" : ": not there"),
      element("dl", { className: kind }, ...Object.entries(scores).map(([name, value]) =>
        element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })))),
    ];
  }

  #address(card, view) {
    if (view === "photo") return card.photo.url;
    const path = `/results/${card.photo.photo}/${MAPS.includes(view) ? `${view}/${by("which").value}` : view}`;
    return at(`${path}?min_presence=${this.#least}&round=${card.round}`); // the round: a new one is another picture
  }

  #look(cards = [...this.cards.values()]) {
    const view = this.#view;
    by("legend").hidden = !MAPS.includes(view);
    by("which-label").hidden = !MAPS.includes(view) || this.classes.length < 2;
    for (const card of cards.filter(one => one.found)) {
      const address = this.#address(card, view);
      if (card.image.getAttribute("src") !== address) card.image.src = address;
      card.image.alt = `${card.photo.name}, ${VIEWS[view]}`;
    }
    by("save-all").href = at(`/results.zip?min_presence=${this.#least}`);
  }

  #count() {
    const found = [...this.cards.values()].filter(card => card.found);
    const parts = this.classes.map((name, i) => {
      const there = found.filter(card => this.#there(card.found.classes[i])).length;
      return `${name} in ${there} of ${found.length} photos`;
    });
    by("count").textContent = `Found: ${parts.join(", ")}.`;
    by("results").hidden = !this.cards.size;
  }
}
