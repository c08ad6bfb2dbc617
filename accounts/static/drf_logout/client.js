/**
 * A login in the browser: its tokens, and every way in which it ends.
 *
 * Tokens are where they are kept (`Stored`, `InMemory`): in no address, no event and no line of the
 * console.
 *
 * While this waits, for a server or for another tab, somebody else may log in. So whatever goes on
 * after an `await`, a timer or a message names its login, and stored tokens of another are not
 * touched.
 */

// Milliseconds, as all times here.
const EARLY = 30_000; // a token is refreshed this long before it expires
const PATIENCE = 10_000; // with the server
const LOOK = 10_000; // timers stand still while a laptop sleeps, so the clock is looked at
const THROTTLE = 1_000; // of notes about activity
const SETTLE = 50; // what a tab stores and says reaches the others a moment later
const ANSWER = 2_000; // another tab tells its token sooner, unless it sleeps
const ACTIVITY = ["pointerdown", "pointermove", "keydown", "wheel", "scroll", "touchmove"];

/**
 * The server refused, failed or was not reached.
 *
 * `status` is that of HTTP, 0 if there was no answer. `code` is that of RFC 6749, such as
 * "invalid_grant", or empty. `message` is the server's own where it has one.
 */
export class AuthError extends Error {
  name = "AuthError";

  /**
   * @param {string} [message]
   * @param {{status?: number, code?: string, cause?: unknown}} [options]
   */
  constructor(message, { status = 0, code = "", cause } = {}) {
    super(message, { cause });
    Object.assign(this, { status, code });
  }
}

/**
 * @typedef {object} LogoutResult
 * @property {boolean} confirmed whether the server has said so; if not, what was to end may still
 *   stand there
 * @property {number} status of HTTP; 0 if there was no answer, or nothing to ask for
 * @property {AuthError | null} error why it is not confirmed
 */

/**
 * Logs in and out, and sends requests as whoever is logged in.
 *
 * Dispatches `login` and `logout` in every tab of the login. The `detail.reason` of a `logout` is
 * "logout" (asked for, or somebody logged in, in any tab), "idle", "expired", "revoked" (the
 * server refuses to refresh) or "cleared" (the storage was found without a login).
 *
 * Where a browser allows no storage, nobody is logged in. With `tokens: "cookie"`, who is logged in
 * is known when `ready` says so; `login` is dispatched then, too.
 */
export class Client extends EventTarget {
  #base;
  #origins;
  #kept; // where the tokens are: `Stored` or `InMemory`
  #idleTimeout;
  #idleWarning;
  #name;
  #channel;
  #opening = null; // a promise that it is known who is logged in
  #ready;
  #login; // the id of the login that this tab knows of, or null
  #ended = new Set(); // ids of logins, whatever is stored of them later
  #refreshing = null; // a promise of the tokens of `#login`
  #timer;
  #noted = 0;

  /**
   * @param {object} [options]
   * @param {string} [options.base] where the endpoints are, of either contract
   * @param {"storage" | "cookie"} [options.tokens] where they are kept. "cookie": the access token
   *   in memory, the refresh token in a cookie that no script reads; the server's `REFRESH_COOKIE`
   *   allows it
   * @param {Storage} [options.storage] `localStorage` unless given; `sessionStorage`: a login of
   *   this tab alone, gone with it
   * @param {number | null} [options.idleTimeout] milliseconds without activity in any tab of the
   *   login, after which it ends
   * @param {number} [options.idleWarning] the last milliseconds of these, for a page to warn: in
   *   them only `stay()` counts as activity, so that no dialog goes under a pointer that moves
   * @param {string} [options.name] tells several clients of one origin apart
   * @param {string[]} [options.origins] that may see the token besides the one of `base`, such as
   *   "https://api.example.com"
   * @throws {TypeError} options that do not go together
   */
  constructor({
    base = "/api/v1/auth/",
    tokens = "storage",
    storage,
    idleTimeout = null,
    idleWarning = 0,
    name = "drf_logout",
    origins = [],
  } = {}) {
    super();
    if (tokens !== "storage" && (tokens !== "cookie" || storage !== undefined)) {
      throw new TypeError('tokens are in "storage", or in a "cookie" and in no storage');
    }
    this.#base = new URL(base.replace(/\/?$/, "/"), location.href);
    this.#origins = new Set([this.#base, ...origins].map((url) => new URL(url).origin));
    this.#idleTimeout = idleTimeout;
    this.#idleWarning = idleWarning;
    this.#name = name;
    // Browsers that block cookies may refuse it.
    attempt(() => {
      this.#channel = new BroadcastChannel(name);
      this.#channel.onmessage = ({ data }) => this.#hear(data ?? {});
    });
    this.#kept =
      tokens === "cookie" ? new InMemory(name, this.#channel) : new Stored(name, storage);
    this.#login = this.#read()?.login ?? null;
    addEventListener("storage", ({ key, newValue }) => {
      // A logout is told by the channel, which knows the reason.
      if (key === null || (key === name && (newValue !== null || !this.#channel))) this.#look();
    });
    const notice = idleTimeout === null ? () => this.#look() : () => this.#note();
    const events = ["visibilitychange", "pageshow", ...(idleTimeout === null ? [] : ACTIVITY)];
    for (const event of events) addEventListener(event, notice, { capture: true, passive: true });
    for (const event of ["visibilitychange", "online"]) addEventListener(event, () => this.#check());
    queueMicrotask(() => this.#look()); // whoever made the client listens by then
    const known = this.#kept.isKnown ? Promise.resolve() : this.#open();
    this.#ready = known.then(() => this.isLoggedIn, () => false);
  }

  /**
   * Whether somebody is logged in, once that is known. With `tokens: "cookie"` a page that opens asks
   * another tab, or else the server. If neither answers it is false, and asked again when the page
   * sends a request, is looked at, or the network is back. Never rejects.
   *
   * @returns {Promise<boolean>}
   */
  get ready() {
    return this.#ready;
  }

  /**
   * Whether there is a login that has not run out; the server may have ended it meanwhile. With
   * `tokens: "cookie"` it is false until `ready`.
   */
  get isLoggedIn() {
    const tokens = this.#read();
    return tokens !== null && Date.now() < Math.min(tokens.endsAt, this.#idleAt());
  }

  /**
   * Milliseconds until the login ends for inactivity, in the last `idleWarning` of them. Before
   * these, and without a login, it is null.
   */
  get idleLeft() {
    const left = this.#idleAt() - Date.now();
    return this.isLoggedIn && left <= this.#idleWarning ? left : null;
  }

  /** Count as activity, when a page has warned. A login that has ended stays ended. */
  stay() {
    this.#look(); // first: after a long sleep, activity comes too late
    if (this.#login !== null) this.#storeActivity(Date.now());
  }

  /**
   * Log in; a login that was here before ends.
   *
   * @param {{username: string, password: string} | {email: string, password: string}} credentials
   * @throws {AuthError} 400 "invalid_grant": they are wrong; 429: too many tries; 0: the server was
   *   not reached, or nothing can be stored here
   */
  async logIn(credentials) {
    const begin = () => this.#ask({ grant_type: "password", ...credentials });
    const { isCookie } = this.#kept;
    if (isCookie) {
      // Once its cookie is replaced, the login before ends by its bearer, which has to be good.
      const renew = (tokens) => tokens && this.#refresh(tokens);
      await this.#current().then(renew).catch(() => {});
    }
    const early = isCookie ? null : await begin();
    let leaving;
    await this.#exclusively(async () => {
      const tokens = early ?? (await begin()); // of two tabs, the later cookie is the later login
      const before = this.#read();
      if (before !== null) leaving = this.#leave(before, "logout", "logout", "session");
      this.#storeActivity(Date.now());
      this.#store(tokens);
    }).catch(async (error) => {
      if (early !== null) await this.#tell(early, "logout", "session"); // nobody could use it
      throw error;
    });
    this.#look();
    await leaving;
  }

  /**
   * As the platform's `fetch`, with the access token, if the origin is one that may see it.
   *
   * A token that is about to expire, or that was answered with 401, is refreshed: once for all
   * requests and tabs. A 401 that comes back is the server's last word. A request is sent, and
   * sent again, for the login that this tab knew when it began, and for no other.
   *
   * @throws {AuthError} 401: the login has ended, so nothing was sent; otherwise the token has run
   *   out and cannot be refreshed now, and the login stands
   */
  async fetch(input, init) {
    const request = new Request(input, init);
    if (!this.#origins.has(new URL(request.url).origin)) return fetch(request);
    const tokens = await this.#current();
    const response = await send(request.clone(), tokens);
    if (response.status !== 401 || tokens === null) return response;
    const renewed = await this.#refresh(tokens);
    return renewed === null ? response : send(request, renewed);
  }

  /**
   * End the login that this tab knows of. It is over here at once, whatever the server says.
   *
   * With `tokens: "cookie"` it is over in the pages that are open: no script deletes the cookie. So
   * call it again if it was not confirmed.
   *
   * @returns {Promise<LogoutResult>} never rejects
   */
  logout() {
    return this.#end("logout", "session");
  }

  /**
   * End every login of the user. This one is over here at once, whatever the server says.
   *
   * @returns {Promise<LogoutResult>} never rejects
   */
  logoutAll() {
    return this.#end("logout/all", "global");
  }

  /**
   * End every login of the user but this one.
   *
   * @returns {Promise<LogoutResult>} never rejects
   */
  async logoutOthers() {
    try {
      const tokens = await this.#current();
      if (tokens === null) throw new AuthError("Nobody is logged in");
      return await this.#tell(tokens, "logout", "others");
    } catch (error) {
      return { confirmed: false, status: error.status, error };
    }
  }

  // How a login ends

  async #end(path, scope) {
    const tokens = this.#read(this.#login);
    if (tokens !== null) return this.#leave(tokens, "logout", path, scope);
    if (this.#opening !== null) {
      await this.#opening.catch(() => {});
      return this.#end(path, scope);
    }
    if (!this.#kept.isKnown) {
      const result = await this.#tell({}, path, scope);
      this.#kept.isKnown = result.confirmed || [401, 403].includes(result.status);
      if (!this.#kept.isKnown || result.confirmed) return result;
    }
    // Tokens may be in what is stored, broken as it is.
    if (this.#stored() === null) this.#kept.remove();
    this.#know(null, "logout");
    this.#look();
    return { confirmed: true, status: 0, error: null };
  }

  async #leave(tokens, reason, path, scope) {
    let refreshing = null;
    if (tokens.login === this.#login) [refreshing, this.#refreshing] = [this.#refreshing, null];
    this.#forget(tokens.login, reason);
    // A refresh in flight replaces the tokens at the server, where only the newest count.
    const newest = await refreshing?.catch(() => null);
    const result = await this.#tell(newest ?? tokens, path, scope);
    this.#kept.isKnown = result.confirmed;
    return result;
  }

  /** @param {{login?: string, access?: string, refresh?: string | null}} tokens */
  async #tell({ login, access, refresh }, path, scope) {
    // A cookie may be that of another login by now, and would name that one to the server.
    const isReplaced = (this.#read()?.login ?? login) !== login;
    const init = isReplaced ? {} : this.#kept.init;
    try {
      const body = { token: refresh ?? undefined, scope };
      await this.#post(path, body, { ...init, keepalive: true }, access); // it outlives the page
      return { confirmed: true, status: 200, error: null };
    } catch (error) {
      return { confirmed: false, status: error.status, error };
    }
  }

  #forget(login, reason) {
    this.#clear(login);
    this.#exclusively(() => this.#clear(login)); // another tab may be storing what it refreshed
    this.#channel?.postMessage({ login, reason });
    if (this.#login === login) this.#know(null, reason);
  }

  #hear({ login, reason, tokens, ...rest }) {
    if (reason === undefined) {
      if (!this.#ended.has(tokens?.login)) this.#kept.hear({ tokens, ...rest });
      // The server was not told, and a page that opened has found it alive.
      else if (!this.#kept.isKnown) this.#leave(tokens, "logout", "logout", "session");
      this.#look();
      return;
    }
    this.#ended.add(login);
    // Whoever ended it has cleared the storage, and may have stored another login since; a tab sees
    // that a moment after it hears. What is there later is a copy, or came too late.
    setTimeout(() => this.#clear(login), this.#kept.lag);
    if (this.#login === login) this.#know(null, reason);
  }

  #clear(login) {
    this.#ended.add(login);
    if (this.#stored()?.login === login) this.#kept.remove();
  }

  /** Let this tab know of another login, or of none; `reason` is why the one before has ended. */
  #know(login, reason) {
    const [before, refreshing] = [this.#login, this.#refreshing];
    if (login === before) return;
    [this.#login, this.#refreshing] = [login, null];
    // What a refresh in flight brings is used by nobody, so it must not stay good.
    refreshing?.then((tokens) => tokens && this.#tell(tokens, "logout", "session"), () => {});
    if (before !== null) this.dispatchEvent(new CustomEvent("logout", { detail: { reason } }));
    // Whoever listens may have ended it, or begun another.
    if (login !== null && login === this.#login) this.dispatchEvent(new CustomEvent("login"));
  }

  // Time and activity

  #look() {
    const tokens = this.#read();
    if (tokens === null) {
      // Most likely another tab ended it, and its reason is on the way.
      this.#wait(SETTLE, () => (this.#read() ? this.#look() : this.#know(null, "cleared")));
      return;
    }
    this.#know(tokens.login, "logout"); // whoever logs in ends the login before
    if (this.#login !== tokens.login) return;
    const toExpiry = tokens.endsAt - Date.now();
    const toIdle = this.#idleAt() - Date.now();
    if (toExpiry <= 0) this.#forget(tokens.login, "expired");
    else if (toIdle <= 0) this.#leave(tokens, "idle", "logout", "session");
    else this.#wait(Math.min(toExpiry, toIdle, LOOK), () => this.#look());
  }

  #wait(time, work) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(work, time);
  }

  #note() {
    const now = Date.now();
    if (now - this.#noted < THROTTLE || this.idleLeft !== null) return;
    this.#noted = now;
    this.stay();
  }

  /** Ask the server whether the login stands, or whether there is one, of somebody who looks. */
  #check() {
    if (document.visibilityState !== "visible") return;
    if (this.#login !== null) this.fetch(new URL("user", this.#base)).catch(() => {});
    else if (!this.#kept.isKnown) this.#open().catch(() => {});
  }

  #storeActivity(time) {
    attempt(() => this.#kept.act(time)); // or the login ends as idle
  }

  #idleAt() {
    if (this.#idleTimeout === null) return Infinity;
    const active = attempt(() => this.#kept.active);
    return (Number(active) || 0) + this.#idleTimeout; // what is no time is long ago
  }

  // Tokens

  /** Find out who is logged in by the cookie: from another tab, or else by a refresh. */
  #open() {
    this.#opening ??= this.#exclusively(() => this.#meet()).finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #meet() {
    this.#storeActivity(Date.now()); // a page does not open by itself
    if (this.#read() === null) await this.#kept.ask();
    if (this.#read() !== null) return;
    const tokens = await this.#ask({ grant_type: "refresh_token" }).catch((error) => {
      if (isRefusal(error)) return null;
      throw error;
    });
    this.#kept.isKnown = true;
    if (tokens === null) return;
    // The server was not told that it has ended.
    if (this.#ended.has(tokens.login)) await this.#leave(tokens, "logout", "logout", "session");
    else this.#store(tokens);
    this.#look();
  }

  /** The tokens to send with a request that begins now; null if this tab knows of no login. */
  async #current() {
    if (this.#login === null && !this.#kept.isKnown) await this.#open();
    const known = this.#login;
    this.#look();
    const tokens = this.#read();
    const over = () => new AuthError("The login has ended", { status: 401 });
    if (known !== null && tokens?.login !== known) throw over();
    if (tokens === null || Date.now() < tokens.renewAt) return tokens;
    const renewed = await this.#refresh(tokens).catch((error) => {
      if (Date.now() < tokens.expiresAt) return this.#read(tokens.login);
      throw error;
    });
    if (renewed === null) throw over();
    return renewed;
  }

  /** Newer tokens of the same login; null if it has ended. */
  async #refresh(stale) {
    if (stale.login !== this.#login) return null;
    const refreshing = (this.#refreshing ??= this.#exclusively(() => this.#renew(stale)));
    try {
      const tokens = await refreshing;
      return this.#read(stale.login) && tokens;
    } finally {
      if (this.#refreshing === refreshing) this.#refreshing = null;
    }
  }

  async #renew({ login, access }) {
    const tokens = this.#read(login);
    if (tokens?.access !== access) return tokens; // another tab was first, or it has ended
    const body = { grant_type: "refresh_token", refresh_token: tokens.refresh ?? undefined };
    let renewed;
    try {
      renewed = await this.#ask(body, login);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const newest = this.#read(login);
      if (newest?.access !== access) return newest; // the same, without locks
      this.#forget(login, "revoked");
      return null;
    }
    // What has ended meanwhile stays ended.
    if (this.#read(login)?.access === access) this.#store(renewed);
    if (renewed.login === login) return renewed;
    this.#look();
    return null;
  }

  /** The tokens that the server answers with. A cookie may bring those of another login. */
  async #ask(body, login) {
    const { init, isCookie } = this.#kept;
    const answer = await this.#post("token", body, init);
    return isCookie ? unpack({ ...answer, refresh_token: null }) : unpack(answer, login);
  }

  /** Work while no other tab does; locks are missing outside of a secure context. */
  async #exclusively(work) {
    let release;
    const done = new Promise((resolve) => {
      release = resolve;
    });
    await new Promise((begin, refuse) => {
      const hold = () => {
        begin();
        return done;
      };
      navigator.locks.request(this.#name, hold).catch(refuse);
    }).catch(() => {});
    try {
      return await work();
    } finally {
      setTimeout(release, SETTLE);
    }
  }

  /** The stored tokens of a login, or of whichever is there, unless it has ended. */
  #read(login = null) {
    const tokens = this.#stored();
    if (tokens === null || this.#ended.has(tokens.login)) return null;
    return login === null || login === tokens.login ? tokens : null;
  }

  /** The stored tokens; null if there are none, or something else is there. */
  #stored() {
    return attempt(() => checked(this.#kept.read()));
  }

  #store(tokens) {
    try {
      this.#kept.write(tokens);
    } catch (cause) {
      throw new AuthError("Nothing can be stored here", { cause });
    }
  }

  async #post(path, body, init, bearer) {
    const headers = { "Content-Type": "application/json", ...init.headers };
    if (bearer) headers.Authorization = `Bearer ${bearer}`;
    let response;
    try {
      response = await fetch(new URL(path, this.#base), {
        ...init,
        method: "POST",
        headers,
        body: JSON.stringify(body),
        redirect: "error", // tokens go where they are sent, and no further
        signal: AbortSignal.timeout?.(PATIENCE),
      });
    } catch (cause) {
      throw new AuthError("The server was not reached", { cause });
    }
    const answer = await response.json().catch(() => null);
    if (response.ok && answer !== null) return answer;
    const message =
      answer?.message ?? answer?.msg ?? answer?.detail ?? answer?.error_description;
    const { status } = response;
    const code = answer?.error;
    throw new AuthError(message ?? `The server answered ${status}`, { status, code });
  }
}

/** All tokens in a `Storage`. Its tabs see what one of them stores, a moment later. */
class Stored {
  isCookie = false;
  init = {}; // of requests for tokens
  lag = LOOK; // until what another tab has stored is surely seen
  #name;
  #storage;

  constructor(name, storage) {
    this.#name = name;
    // Browsers that block cookies may refuse it.
    attempt(() => {
      this.#storage = storage ?? localStorage;
    });
  }

  /** Whether it is known who is logged in. */
  get isKnown() {
    return true;
  }

  set isKnown(_) {}

  get active() {
    return this.#storage.getItem(`${this.#name}:active`);
  }

  act(time) {
    this.#storage.setItem(`${this.#name}:active`, time);
  }

  read() {
    const tokens = JSON.parse(this.#storage.getItem(this.#name));
    return tokens.refresh === null ? null : tokens;
  }

  write(tokens) {
    this.#storage.setItem(this.#name, JSON.stringify(tokens));
  }

  remove() {
    for (const name of [this.#name, `${this.#name}:active`]) {
      attempt(() => this.#storage.removeItem(name));
    }
  }

  hear() {}

  async ask() {}
}

/**
 * The access token in the memory of each tab; the refresh token in a cookie that no script reads.
 *
 * The channel tells the access token to the other tabs, so that one refresh is enough for all. It
 * is heard by scripts of this origin alone, and they get no more by it than by asking the server,
 * as they can while the page is open. A worker that keeps the token would not change that.
 */
class InMemory {
  isCookie = true;
  isKnown = false;
  init = { credentials: "include", headers: { "X-Refresh-Cookie": "1" } };
  lag = 0;
  active = 0;
  #channel;
  #lock; // shared by the tabs that know the token, so that others see whether there is one to ask
  #release = null;
  #told = (_) => {};
  #tokens = null;

  constructor(name, channel) {
    this.#channel = channel;
    this.#lock = `${name}:known`;
  }

  act(time) {
    this.active = time;
    this.#channel?.postMessage({ active: time });
  }

  read() {
    return this.#tokens;
  }

  write(tokens) {
    this.#keep(tokens);
    this.#channel?.postMessage({ tokens });
  }

  remove() {
    this.#tokens = null;
    this.#release?.();
    this.#release = null;
  }

  /** @param {{asked?: boolean, active?: number, tokens?: object}} said by another tab */
  hear({ asked, active, tokens }) {
    if (asked && this.#tokens !== null) this.#channel.postMessage({ tokens: this.#tokens });
    this.active = Math.max(this.active, Number(active) || 0);
    if (!attempt(() => checked(tokens))) return;
    const { login, expiresAt } = this.#tokens ?? {};
    if (tokens.login !== login || tokens.expiresAt > expiresAt) this.#keep(tokens);
    this.#told(null);
  }

  /** Let another tab tell its tokens, if there is one that knows some. */
  async ask() {
    const { held } = (await attempt(() => navigator.locks.query())?.catch(() => null)) ?? {};
    if (!held?.some(({ name }) => name === this.#lock)) return;
    await new Promise((resolve) => {
      this.#told = resolve;
      this.#channel?.postMessage({ asked: true });
      setTimeout(resolve, ANSWER);
    });
  }

  #keep(tokens) {
    this.#tokens = tokens;
    this.isKnown = true;
    if (this.#release !== null) return;
    const until = new Promise((resolve) => {
      this.#release = resolve;
    });
    const request = () => navigator.locks.request(this.#lock, { mode: "shared" }, () => until);
    attempt(request)?.catch(() => {});
  }
}

function send(request, tokens) {
  if (tokens !== null) request.headers.set("Authorization", `Bearer ${tokens.access}`);
  return fetch(request);
}

/** Whether the server says that nobody is logged in by this token. */
function isRefusal({ code, status }) {
  return code === "invalid_grant" || status === 401;
}

function attempt(work) {
  try {
    return work();
  } catch {
    return null;
  }
}

/**
 * The tokens that an answer brings.
 *
 * Lifetimes are counted from now: this computer's clock need not be that of the server. `login` is
 * the one that is refreshed.
 */
function unpack(answer, login) {
  const tokens = attempt(() => {
    const { access_token: access, refresh_token: refresh, expires_in: seconds } = answer;
    const now = Date.now();
    const lifetime = seconds * 1000;
    const renewAt = now + lifetime - Math.min(EARLY, lifetime / 10);
    const expiresAt = now + lifetime;
    const { exp, iat, sid } = claims(refresh ?? access);
    // When a login by a cookie ends, the server says in time.
    const endsAt = refresh === null ? Number.MAX_SAFE_INTEGER : now + (exp - iat) * 1000;
    login ??= sid ?? `~${now}.${Math.random()}`;
    return checked({ login, access, refresh, renewAt, expiresAt, endsAt });
  });
  if (tokens === null) throw new AuthError("The server's answer holds no tokens of this login");
  return tokens;
}

/**
 * The same tokens if they are whole, and of the login they are kept for; null or an error if not.
 * A refresh token in a cookie is null.
 *
 * A login is the `sid` of its tokens. Where they had none when it began, it is an id of ours, and
 * refreshed tokens are of the same login, with a `sid` or without.
 */
function checked(tokens) {
  const { login, access, refresh, renewAt, expiresAt, endsAt } = tokens;
  const areOurs = [access, refresh === null ? access : refresh]
    .map(claims)
    .every(({ sid }) => login.startsWith("~") || sid === login);
  return areOurs && [renewAt, expiresAt, endsAt].every(Number.isFinite) ? tokens : null;
}

function claims(token) {
  return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
}
