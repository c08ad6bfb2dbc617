/**
 * A login in the browser: its tokens, and every way in which it ends.
 *
 * Tokens are in the storage alone: in no address, no event and no line of the console.
 */

// Milliseconds, as all times here.
const EARLY = 30_000; // a token is refreshed this long before it expires
const PATIENCE = 10_000; // with the server
const LOOK = 10_000; // timers stand still while a laptop sleeps, so the clock is looked at
const THROTTLE = 1_000; // of notes about activity
const SETTLE = 50; // what a tab stores and says reaches the others a moment later
const ACTIVITY = ["pointerdown", "pointermove", "keydown", "wheel", "scroll", "touchmove"];

/**
 * The server refused, failed or was not reached.
 *
 * `status` is that of HTTP, 0 if there was no answer. `code` is that of RFC 6749, such as
 * "invalid_grant", or empty. `message` is the server's own where it has one.
 */
export class AuthError extends Error {
  name = "AuthError";

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
 * "logout" (asked for, in any tab), "idle", "expired", "revoked" (the server refuses to refresh)
 * or "cleared" (the storage was found empty).
 */
export class Client extends EventTarget {
  #base;
  #origins;
  #storage;
  #idleTimeout;
  #name;
  #channel;
  #login; // the id of the login that this tab knows of, or null
  #refreshing = null;
  #timer;
  #noted = 0;

  /**
   * @param {object} [options]
   * @param {string} [options.base] where the endpoints are, of either contract
   * @param {Storage} [options.storage] `sessionStorage`: a login of this tab alone, gone with it
   * @param {number | null} [options.idleTimeout] milliseconds without activity in any tab of the
   *   login, after which it ends
   * @param {string} [options.name] tells several clients of one origin apart
   * @param {string[]} [options.origins] that may see the token besides the one of `base`, such as
   *   "https://api.example.com"
   */
  constructor({
    base = "/api/v1/auth/",
    storage = localStorage,
    idleTimeout = null,
    name = "drf_logout",
    origins = [],
  } = {}) {
    super();
    this.#base = new URL(base.replace(/\/?$/, "/"), location.href);
    this.#origins = new Set([this.#base, ...origins].map((url) => new URL(url).origin));
    this.#storage = storage;
    this.#idleTimeout = idleTimeout;
    this.#name = name;
    this.#login = this.#read()?.login ?? null;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    addEventListener("storage", ({ key, newValue }) => {
      // A logout is told by the channel, which knows the reason.
      if (key === null || (key === name && newValue !== null)) this.#look();
    });
    const notice = idleTimeout === null ? () => this.#look() : () => this.#note();
    const events = ["visibilitychange", "pageshow", ...(idleTimeout === null ? [] : ACTIVITY)];
    for (const event of events) addEventListener(event, notice, { capture: true, passive: true });
    queueMicrotask(() => this.#look()); // whoever made the client listens by then
  }

  /** Whether there is a login that has not run out; the server may have ended it meanwhile. */
  get isLoggedIn() {
    const tokens = this.#read();
    return tokens !== null && Date.now() < Math.min(tokens.endsAt, this.#idleAt());
  }

  /**
   * Log in; a login that was here before ends.
   *
   * @param {{username: string, password: string} | {email: string, password: string}} credentials
   * @throws {AuthError} 400 "invalid_grant": they are wrong; 429: too many tries
   */
  async logIn(credentials) {
    const answer = await this.#post("token", { grant_type: "password", ...credentials });
    if (this.#read() !== null) await this.logout();
    const tokens = unpack(answer, `${Date.now()}.${Math.random()}`);
    await this.#exclusively(() => {
      this.#storage.setItem(`${this.#name}:active`, Date.now());
      this.#write(tokens);
    });
    this.#look();
  }

  /**
   * As the platform's `fetch`, with the access token, if the origin is one that may see it.
   *
   * A token that is about to expire, or that was answered with 401, is refreshed: once for all
   * requests and tabs. A 401 that comes back is the server's last word.
   *
   * @throws {AuthError} the token has run out and cannot be refreshed now; the login stands
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
   * End this login. It is over here at once, whatever the server says.
   *
   * @returns {Promise<LogoutResult>} never rejects
   */
  logout() {
    return this.#leave("logout", "logout", "session");
  }

  /**
   * End every login of the user. This one is over here at once, whatever the server says.
   *
   * @returns {Promise<LogoutResult>} never rejects
   */
  logoutAll() {
    return this.#leave("logout", "logout/all", "global");
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

  async #leave(reason, path, scope) {
    const tokens = this.#read();
    const refreshing = this.#refreshing;
    this.#forget(reason);
    if (tokens === null) return { confirmed: true, status: 0, error: null };
    // A refresh in flight replaces the tokens at the server, where only the newest count.
    const newest = await refreshing?.catch(() => null);
    return this.#tell(newest ?? tokens, path, scope);
  }

  async #tell({ access, refresh }, path, scope) {
    try {
      await this.#post(path, { token: refresh, scope }, access);
      return { confirmed: true, status: 200, error: null };
    } catch (error) {
      return { confirmed: false, status: error.status, error };
    }
  }

  #forget(reason) {
    const login = this.#read()?.login;
    this.#clear(login);
    this.#exclusively(() => this.#clear(login)); // another tab may be storing what it refreshed
    this.#channel.postMessage({ login, reason });
    this.#announceEnd(reason);
  }

  #hear({ login, reason }) {
    this.#clear(login);
    if (this.#login !== login) return;
    // What a refresh in flight brings is used by nobody, so it must not stay good.
    this.#refreshing?.then((tokens) => tokens && this.#tell(tokens, "logout", "session"), () => {});
    this.#announceEnd(reason);
  }

  #clear(login) {
    if (this.#read()?.login !== login) return;
    this.#storage.removeItem(this.#name);
    this.#storage.removeItem(`${this.#name}:active`);
  }

  #announceEnd(reason) {
    clearTimeout(this.#timer);
    if (this.#login === null) return;
    this.#login = null;
    this.dispatchEvent(new CustomEvent("logout", { detail: { reason } }));
  }

  // Time and activity

  #look() {
    clearTimeout(this.#timer);
    const tokens = this.#read();
    if (tokens === null) {
      // Most likely another tab ended it, and its reason is on the way.
      this.#timer = setTimeout(() => this.#read() ?? this.#announceEnd("cleared"), SETTLE);
      return;
    }
    if (tokens.login !== this.#login) {
      this.#login = tokens.login;
      this.dispatchEvent(new CustomEvent("login"));
    }
    const toExpiry = tokens.endsAt - Date.now();
    const toIdle = this.#idleAt() - Date.now();
    if (toExpiry <= 0) this.#forget("expired");
    else if (toIdle <= 0) this.#leave("idle", "logout", "session");
    else this.#timer = setTimeout(() => this.#look(), Math.min(toExpiry, toIdle, LOOK));
  }

  #note() {
    const now = Date.now();
    if (now - this.#noted < THROTTLE) return;
    this.#noted = now;
    this.#look(); // first: after a long sleep, activity comes too late
    if (this.#login !== null) this.#storage.setItem(`${this.#name}:active`, now);
  }

  #idleAt() {
    const active = this.#storage.getItem(`${this.#name}:active`);
    if (this.#idleTimeout === null || active === null) return Infinity;
    return Number(active) + this.#idleTimeout;
  }

  // Tokens

  async #current() {
    this.#look();
    const tokens = this.#read();
    if (tokens === null || Date.now() < tokens.renewAt) return tokens;
    try {
      return await this.#refresh(tokens);
    } catch (error) {
      if (Date.now() < tokens.expiresAt) return tokens;
      throw error;
    }
  }

  async #refresh(stale) {
    this.#refreshing ??= this.#exclusively(() => this.#renew(stale)).finally(() => {
      this.#refreshing = null;
    });
    const tokens = await this.#refreshing;
    return tokens?.login === this.#login ? tokens : null;
  }

  async #renew(stale) {
    const tokens = this.#read();
    if (tokens?.access !== stale.access) return tokens; // another tab was first, or it has ended
    const { login, refresh } = tokens;
    const body = { grant_type: "refresh_token", refresh_token: refresh };
    let renewed;
    try {
      renewed = unpack(await this.#post("token", body), login);
    } catch (error) {
      if (error.code !== "invalid_grant" && error.status !== 401) throw error;
      if (this.#read()?.refresh !== refresh) return this.#read(); // the same, without locks
      this.#forget("revoked");
      return null;
    }
    // What has ended meanwhile stays ended.
    if (this.#login === login && this.#read()?.refresh === refresh) this.#write(renewed);
    return renewed;
  }

  async #exclusively(work) {
    if (!navigator.locks) return work(); // outside of a secure context
    return navigator.locks.request(this.#name, async () => {
      const result = await work();
      await new Promise((resolve) => setTimeout(resolve, SETTLE));
      return result;
    });
  }

  #read() {
    return JSON.parse(this.#storage.getItem(this.#name));
  }

  #write(tokens) {
    this.#storage.setItem(this.#name, JSON.stringify(tokens));
  }

  async #post(path, body, bearer) {
    const headers = { "Content-Type": "application/json" };
    if (bearer) headers.Authorization = `Bearer ${bearer}`;
    const response = await fetch(new URL(path, this.#base), {
      method: "POST",
      headers,
      body: JSON.stringify(body),
      redirect: "error", // tokens go where they are sent, and no further
      keepalive: Boolean(bearer), // a logout outlives the page
      signal: AbortSignal.timeout(PATIENCE),
    }).catch((cause) => {
      throw new AuthError("The server was not reached", { cause });
    });
    const answer = await response.json().catch(() => null);
    if (response.ok && answer !== null) return answer;
    const message = answer?.message ?? answer?.msg ?? answer?.error_description;
    const { status } = response;
    const code = answer?.error;
    throw new AuthError(message ?? `The server answered ${status}`, { status, code });
  }
}

function send(request, tokens) {
  if (tokens !== null) request.headers.set("Authorization", `Bearer ${tokens.access}`);
  return fetch(request);
}

/** Lifetimes are counted from now: this computer's clock need not be that of the server. */
function unpack({ access_token: access, refresh_token: refresh, expires_in: seconds }, login) {
  const now = Date.now();
  const lifetime = seconds * 1000;
  const renewAt = now + lifetime - Math.min(EARLY, lifetime / 10);
  const payload = refresh.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const { exp, iat } = JSON.parse(atob(payload));
  const endsAt = now + (exp - iat) * 1000;
  return { login, access, refresh, renewAt, expiresAt: now + lifetime, endsAt };
}
