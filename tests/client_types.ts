// What uses client.js, for tsc: .ci/run puts it beside client.js, its types and written.js, a copy of
// client.js that has no types.

import { AuthError, Client } from "./client.js";
import type { ClientOptions, Credentials, LogoutReason, LogoutResult } from "./client.js";
import * as declared from "./client.js";
import * as written from "./written.js";

// What is written is declared, and nothing else is.

type Same<A, B> = [A, B] extends [B, A] ? true : [Exclude<A, B>, Exclude<B, A>];
type Options<C extends abstract new (...args: any) => unknown> = keyof NonNullable<
  ConstructorParameters<C>[0]
>;
type Events = "addEventListener" | "removeEventListener"; // more precise than those of the platform
type Like<T, Ours extends keyof T = never> = { [Key in Exclude<keyof T, Ours>]: T[Key] };

true satisfies Same<keyof typeof declared, keyof typeof written>;
true satisfies Same<keyof declared.Client, keyof written.Client>;
true satisfies Same<keyof declared.AuthError, keyof written.AuthError | "status" | "code">;
true satisfies Same<Options<typeof declared.Client>, Options<typeof written.Client>>;

type Written = Like<written.Client, Events | "logout" | "logoutAll" | "logoutOthers" | "fetch">;
export const client: Written = new Client();
export const Declared: new (options?: ClientOptions) => object = written.Client;

// As an application uses it.

export async function use(storage: Storage, credentials: Credentials): Promise<LogoutReason> {
  const everything: Required<ClientOptions> = {
    base: "/api/v1/auth/",
    storage,
    idleTimeout: 60_000,
    name: "mine",
    origins: ["https://api.example.com"],
  };
  const mine = new Client(everything);
  new Client({ idleTimeout: null });
  mine.addEventListener("login", ({ detail }) => detail satisfies null);
  const ended = new Promise<LogoutReason>((resolve) => {
    mine.addEventListener("logout", ({ detail: { reason } }) => resolve(reason), { once: true });
  });
  mine.removeEventListener("logout", () => {});
  try {
    await mine.logIn(credentials);
    await mine.logIn({ email: "ana@example.com", password: "password123" });
  } catch (error) {
    if (!(error instanceof AuthError)) throw error;
    console.log(error.status + 1, error.code.length, error.message, error.name satisfies "AuthError");
  }
  const answer: Response = await mine.fetch(new URL("https://api.example.com/user"), {
    method: "POST",
  });
  const results: LogoutResult[] = [
    await mine.logout(),
    await mine.logoutAll(),
    await mine.logoutOthers(),
  ];
  for (const { confirmed, status, error } of results) {
    if (!confirmed && error !== null) console.log(answer.ok, status, error.status);
  }
  throw mine.isLoggedIn ? new AuthError("still here", { status: 500, code: "x" }) : await ended;
}

// @ts-expect-error - a password is missing
export const refused: Credentials = { username: "ana" };

// @ts-expect-error - there is no such option
new Client({ idletimeout: 1 });
