import { useSyncExternalStore } from "react";
import { client } from "./client.js";

let state = {
  isReady: false, // whether it is known yet if somebody is logged in
  isLoggedIn: false,
  login: 0, // counts: with it as a key, nothing of one user is shown to the next
  reason: null, // why the last login ended
  confirmed: true, // null until the server has answered; false if it could not be told
  secondsLeft: null, // until the login ends for inactivity, in the last minute
};
const subscribers = new Set();

function update(change) {
  state = { ...state, ...change };
  for (const notify of subscribers) notify();
}

function subscribe(notify) {
  subscribers.add(notify);
  return () => subscribers.delete(notify);
}

async function end(ending) {
  update({ confirmed: null });
  const { login } = state;
  const { confirmed } = await ending;
  if (state.login === login) update({ confirmed });
}

function countDown() {
  const secondsLeft = client.idleLeft === null ? null : Math.ceil(client.idleLeft / 1000);
  if (secondsLeft !== state.secondsLeft) update({ secondsLeft });
}

client.addEventListener("login", () => {
  update({ isLoggedIn: true, login: state.login + 1, reason: null, confirmed: true });
});
client.addEventListener("logout", ({ detail: { reason } }) => {
  update({ isLoggedIn: false, reason, secondsLeft: null });
});
client.ready.then((isLoggedIn) => update({ isReady: true, isLoggedIn }));
setInterval(countDown, 500);

const actions = {
  logIn: (credentials) => client.logIn(credentials),
  logout: () => end(client.logout()),
  logoutAll: () => end(client.logoutAll()),
  logoutOthers: () => client.logoutOthers(),
  stay() {
    client.stay();
    countDown();
  },
};

/** Who uses it is rendered again when the login begins, ends or is about to, in whichever tab. */
export const useLogin = () => ({ ...useSyncExternalStore(subscribe, () => state), ...actions });
