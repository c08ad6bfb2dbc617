/**
 * A login in the browser: its tokens, and every way in which it ends.
 *
 * Tokens are in the storage alone: in no address, no event and no line of the console.
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
 * Where a browser allows no storage, nobody is logged in.
 */
export class Client extends EventTarget {
  #base;
  #origins;
  #storage;
  #idleTimeout;
  #name;
  #channel;
  #login; // the id of the login that this tab knows of, or null
  #ended = new Set(); // ids of logins, whatever is stored of them later
  #refreshing = null; // a promise of the tokens of `#login`
  #timer;
  #noted = 0;

  /**
   * @param {object} [options]
   * @param {string} [options.base] where the endpoints are, of either contract
   * @param {Storage} [options.storage] `localStorage` unless given; `sessionStorage`: a login of
   *   this tab alone, gone with it
   * @param {number | null} [options.idleTimeout] milliseconds without activity in any tab of the
   *   login, after which it ends
   * @param {string} [options.name] tells several clients of one origin apart
   * @param {string[]} [options.origins] that may see the token besides the one of `base`, such as
   *   "https://api.example.com"
   */
  constructor({
    base = "/api/v1/auth/",
    storage,
    idleTimeout = null,
    name = "drf_logout",
    origins = [],
  } = {}) {
    super();
    this.#base = new URL(base.replace(/\/?$/, "/"), location.href);
    this.#origins = new Set([this.#base, ...origins].map((url) => new URL(url).origin));
    this.#idleTimeout = idleTimeout;
    this.#name = name;
    // Browsers that block cookies may refuse either.
    attempt(() => {
      this.#storage = storage ?? localStorage;
    });
    attempt(() => {
      this.#channel = new BroadcastChannel(name);
      this.#channel.onmessage = ({ data }) => this.#hear(data ?? {});
    });
    this.#login = this.#read()?.login ?? null;
    addEventListener("storage", ({ key, newValue }) => {
      // A logout is told by the channel, which knows the reason.
      if (key === null || (key === name && (newValue !== null || !this.#channel))) this.#look();
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
   * @throws {AuthError} 400 "invalid_grant": they are wrong; 429: too many tries; 0: the server was
   *   not reached, or nothing can be stored here
   */
  async logIn(credentials) {
    const tokens = unpack(await this.#post("token", { grant_type: "password", ...credentials }));
    let leaving;
    await this.#exclusively(() => {
      const before = this.#read();
      if (before !== null) leaving = this.#leave(before, "logout", "logout", "session");
      this.#storeActivity(Date.now());
      this.#store(tokens);
    }).catch(async (error) => {
      await this.#tell(tokens, "logout", "session"); // nobody could use it
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
    // Tokens may be in what is stored, broken as it is.
    if (this.#stored() === null) this.#remove(this.#name);
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

  #forget(login, reason) {
    this.#clear(login);
    this.#exclusively(() => this.#clear(login)); // another tab may be storing what it refreshed
    this.#channel?.postMessage({ login, reason });
    if (this.#login === login) this.#know(null, reason);
  }

  #hear({ login, reason }) {
    this.#ended.add(login);
    // Whoever ended it has cleared the storage, and may have stored another login since; a tab sees
    // that a moment after it hears. What is there later is a copy, or came too late.
    setTimeout(() => this.#clear(login), LOOK);
    if (this.#login === login) this.#know(null, reason);
  }

  #clear(login) {
    this.#ended.add(login);
    if (this.#stored()?.login !== login) return;
    this.#remove(this.#name);
    this.#remove(`${this.#name}:active`);
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
    if (now - this.#noted < THROTTLE) return;
    this.#noted = now;
    this.#look(); // first: after a long sleep, activity comes too late
    if (this.#login !== null) this.#storeActivity(now);
  }

  #storeActivity(time) {
    attempt(() => this.#storage.setItem(`${this.#name}:active`, time)); // or the login ends as idle
  }

  #idleAt() {
    if (this.#idleTimeout === null) return Infinity;
    const active = attempt(() => this.#storage.getItem(`${this.#name}:active`));
    return (Number(active) || 0) + this.#idleTimeout; // what is no time is long ago
  }

  // Tokens

  /** The tokens to send with a request that begins now; null if this tab knows of no login. */
  async #current() {
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
    const { refresh } = tokens;
    const body = { grant_type: "refresh_token", refresh_token: refresh };
    let renewed;
    try {
      renewed = unpack(await this.#post("token", body), login);
    } catch (error) {
      if (error.code !== "invalid_grant" && error.status !== 401) throw error;
      const newest = this.#read(login);
      if (newest?.refresh !== refresh) return newest; // the same, without locks
      this.#forget(login, "revoked");
      return null;
    }
    // What has ended meanwhile stays ended.
    if (this.#read(login)?.refresh === refresh) this.#store(renewed);
    return renewed;
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
    return attempt(() => checked(JSON.parse(this.#storage.getItem(this.#name))));
  }

  #store(tokens) {
    try {
      this.#storage.setItem(this.#name, JSON.stringify(tokens));
    } catch (cause) {
      throw new AuthError("Nothing can be stored here", { cause });
    }
  }

  #remove(name) {
    attempt(() => this.#storage.removeItem(name));
  }

  async #post(path, body, bearer) {
    const headers = { "Content-Type": "application/json" };
    if (bearer) headers.Authorization = `Bearer ${bearer}`;
    let response;
    try {
      response = await fetch(new URL(path, this.#base), {
        method: "POST",
        headers,
        body: JSON.stringify(body),
        redirect: "error", // tokens go where they are sent, and no further
        keepalive: Boolean(bearer), // a logout outlives the page
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

function send(request, tokens) {
  if (tokens !== null) request.headers.set("Authorization", `Bearer ${tokens.access}`);
  return fetch(request);
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
    const { exp, iat, sid } = claims(refresh);
    const endsAt = now + (exp - iat) * 1000;
    login ??= sid ?? `~${now}.${Math.random()}`;
    return checked({ login, access, refresh, renewAt, expiresAt, endsAt });
  });
  if (tokens === null) throw new AuthError("The server's answer holds no tokens of this login");
  return tokens;
}

/**
 * The same tokens if they are whole, and of the login they are kept for; null or an error if not.
 *
 * A login is the `sid` of its tokens. Where they had none when it began, it is an id of ours, and
 * refreshed tokens are of the same login, with a `sid` or without.
 */
function checked(tokens) {
  const { login, access, refresh, renewAt, expiresAt, endsAt } = tokens;
  const areOurs = [access, refresh]
    .map(claims)
    .every(({ sid }) => login.startsWith("~") || sid === login);
  return areOurs && [renewAt, expiresAt, endsAt].every(Number.isFinite) ? tokens : null;
}

function claims(token) {
  return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
}
