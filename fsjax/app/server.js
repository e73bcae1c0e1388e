// What the page asks of its server. Every refusal comes as a sentence for the user.

const GONE = 410; // the session is

let session = "";

/** Begins a session and returns what the server says of itself. */
export async function begin() {
  const facts = await call("POST", "/sessions");
  session = facts.session;
  setInterval(() => call("GET", at("")).catch(() => {}), 60_000);
  // A page that is closed gives its photos' memory back; one that comes back from the browser's own begins anew.
  addEventListener("pagehide", () => fetch(at(""), { method: "DELETE", keepalive: true }));
  addEventListener("pageshow", event => { if (event.persisted) location.reload(); });
  return facts;
}

/** Returns the address of something in the session. */
export const at = path => `/sessions/${session}${path}`;

/** Sends a photo and returns its number, name, height and width. */
export const addPhoto = file =>
  call("POST", at("/photos"), file, { "X-Name": encodeURIComponent(file.name) });

/** Asks for something in the session, with a value that is sent as JSON. */
export const ask = (method, path, value) => call(method, at(path), value && JSON.stringify(value));

async function call(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, body, headers });
  } catch {
    const lost = new Error("The page's program cannot be reached: is it still running in its terminal?");
    throw Object.assign(lost, { fatal: true });
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const refused = new Error(value.error || `The server answers ${answer.status}.`);
    throw Object.assign(refused, { fatal: answer.status === GONE });
  }
  return value;
}
