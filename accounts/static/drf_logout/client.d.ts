// The types of client.js, which says what each of them does.

/** Where a client's endpoints are, and how it keeps its login. */
export interface ClientOptions {
  /** Where the endpoints are, of any contract; "/api/v1/auth/" unless given. */
  base?: string;
  /** `localStorage` unless given; `sessionStorage` is for a login of one tab. */
  storage?: Storage;
  /** Milliseconds without activity in any tab, after which the login ends; `null`: never. */
  idleTimeout?: number | null;
  /** Tells several clients of one origin apart; "drf_logout" unless given. */
  name?: string;
  /** That may see the token besides the one of `base`, such as "https://api.example.com". */
  origins?: string[];
}

export type Credentials =
  | { username: string; password: string }
  | { email: string; password: string };

/** Why a login has ended. */
export type LogoutReason = "logout" | "idle" | "expired" | "revoked" | "cleared";

export interface LogoutResult {
  /** Whether the server has said so; if not, what was to end may still stand there. */
  confirmed: boolean;
  /** Of HTTP; 0 if there was no answer, or nothing to ask for. */
  status: number;
  /** Why it is not confirmed. */
  error: AuthError | null;
}

/** The events of a client. */
export interface ClientEvents {
  login: CustomEvent<null>;
  logout: CustomEvent<{ reason: LogoutReason }>;
}

/** The server refused, failed or was not reached. */
export class AuthError extends Error {
  constructor(message?: string, options?: { status?: number; code?: string; cause?: unknown });
  name: "AuthError";
  /** Of HTTP; 0 if there was no answer. */
  status: number;
  /** Of RFC 6749, such as "invalid_grant", or empty. */
  code: string;
}

/** Logs in and out, and sends requests as whoever is logged in. */
export class Client extends EventTarget {
  constructor(options?: ClientOptions);

  /** Whether there is a login that has not run out; the server may have ended it meanwhile. */
  get isLoggedIn(): boolean;

  /** Log in; a login that was here before ends. Rejects with an `AuthError`. */
  logIn(credentials: Credentials): Promise<void>;

  /** As the platform's `fetch`, with the access token. Rejects with an `AuthError`, too. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;

  /** End the login that this tab knows of. Never rejects. */
  logout(): Promise<LogoutResult>;

  /** End every login of the user. Never rejects. */
  logoutAll(): Promise<LogoutResult>;

  /** End every login of the user but this one. Never rejects. */
  logoutOthers(): Promise<LogoutResult>;

  addEventListener<K extends keyof ClientEvents>(
    type: K,
    listener: (this: Client, event: ClientEvents[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;

  removeEventListener<K extends keyof ClientEvents>(
    type: K,
    listener: (this: Client, event: ClientEvents[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}
