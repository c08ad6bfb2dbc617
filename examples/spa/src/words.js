import { useSyncExternalStore } from "react";

const words = {
  en: {
    account: "Your account",
    cancel: "Cancel",
    close: "Close",
    confirmAll: "Every device is logged out at once, this one too.",
    current: "This device",
    devices: "Your devices",
    devicesLead: "This is where you are logged in. Log out any device that you no longer use or do not recognize.",
    device: "Unknown device",
    done: "{device} is logged out.",
    email: "Email address",
    ended: "You were logged out",
    ended_cleared: "This browser no longer has your login. Log in again to go on.",
    ended_expired: "Your login has run out. Log in again to go on.",
    ended_idle: "Nothing was done here for a while, so your login has ended. Log in again to go on.",
    ended_revoked: "Your login was ended on the server: from another device, by a new password, or by an administrator. Log in again to go on.",
    everywhere: "Log out everywhere",
    failed: "Something went wrong. Try again.",
    idle: "Are you still there?",
    idleLeft: "You will be logged out in {seconds} s.",
    idleOffer: "Without activity you are logged out after 15 minutes, and warned a minute before.",
    idleTry: "See it in 20 seconds",
    inactivity: "Inactivity",
    lastSeen: "Last seen {when}",
    loading: "One moment…",
    login: "Log in",
    logout: "Log out",
    loggedOut: "You have logged out.",
    offline: "You are offline. What you see may be old.",
    others: "Log out all other devices",
    othersDone: "All other devices are logged out.",
    password: "Password",
    retry: "Try again",
    several: "All devices",
    severalLead: "If something here looks wrong, log out everywhere and change your password.",
    since: "Logged in {when}",
    stay: "Stay",
    tooMany: "Too many tries. Wait a few minutes.",
    unconfirmed: "You are logged out here, but the server could not be told: there, your login may still stand.",
    unreached: "The server was not reached. Try again.",
    username: "Username",
    welcome: "Hello, {name}",
    welcomeLead: "Only somebody who is logged in sees this page.",
    wrong: "That username and that password do not go together.",
  },
  es: {
    account: "Su cuenta",
    cancel: "Cancelar",
    close: "Cerrar",
    confirmAll: "Se cierra la sesión en todos los dispositivos a la vez, también en este.",
    current: "Este dispositivo",
    devices: "Sus dispositivos",
    devicesLead: "Aquí es donde tiene una sesión abierta. Cierre la de cualquier dispositivo que ya no use o no reconozca.",
    device: "Dispositivo desconocido",
    done: "Se ha cerrado la sesión en {device}.",
    email: "Correo electrónico",
    ended: "Se cerró su sesión",
    ended_cleared: "Este navegador ya no tiene su sesión. Inicie sesión de nuevo para continuar.",
    ended_expired: "Su sesión ha caducado. Inicie sesión de nuevo para continuar.",
    ended_idle: "No hubo actividad durante un rato, así que su sesión ha terminado. Inicie sesión de nuevo para continuar.",
    ended_revoked: "Su sesión se cerró en el servidor: desde otro dispositivo, por una contraseña nueva o por un administrador. Inicie sesión de nuevo para continuar.",
    everywhere: "Cerrar sesión en todas partes",
    failed: "Algo ha ido mal. Inténtelo de nuevo.",
    idle: "¿Sigue ahí?",
    idleLeft: "Su sesión se cerrará en {seconds} s.",
    idleOffer: "Sin actividad, su sesión se cierra a los 15 minutos, con un aviso un minuto antes.",
    idleTry: "Verlo en 20 segundos",
    inactivity: "Inactividad",
    lastSeen: "Última actividad {when}",
    loading: "Un momento…",
    login: "Iniciar sesión",
    logout: "Cerrar sesión",
    loggedOut: "Ha cerrado la sesión.",
    offline: "Está sin conexión. Lo que ve puede ser antiguo.",
    others: "Cerrar sesión en los demás dispositivos",
    othersDone: "Se ha cerrado la sesión en los demás dispositivos.",
    password: "Contraseña",
    retry: "Intentar de nuevo",
    several: "Todos los dispositivos",
    severalLead: "Si algo no le cuadra, cierre la sesión en todas partes y cambie su contraseña.",
    since: "Sesión iniciada {when}",
    stay: "Seguir aquí",
    tooMany: "Demasiados intentos. Espere unos minutos.",
    unconfirmed: "Aquí la sesión está cerrada, pero no se pudo avisar al servidor: allí puede seguir abierta.",
    unreached: "No se pudo contactar con el servidor. Inténtelo de nuevo.",
    username: "Usuario",
    welcome: "Hola, {name}",
    welcomeLead: "Esta página solo la ve quien ha iniciado sesión.",
    wrong: "Ese usuario y esa contraseña no coinciden.",
  },
};

const KEY = "spa:language";
const subscribers = new Set();
let language = stored() ?? (navigator.language.startsWith("es") ? "es" : "en");

// Browsers that block cookies refuse the storage, too: then it is chosen for this page alone.
function stored() {
  try {
    const chosen = localStorage.getItem(KEY);
    return chosen in words ? chosen : null;
  } catch {
    return null;
  }
}

function choose(chosen) {
  language = chosen;
  try {
    localStorage.setItem(KEY, chosen);
  } catch {}
  for (const notify of subscribers) notify();
}

function subscribe(notify) {
  subscribers.add(notify);
  return () => subscribers.delete(notify);
}

function ago(time) {
  const minutes = Math.round((Date.parse(time) - Date.now()) / 60_000);
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  if (minutes > -60) return format.format(Math.min(minutes, 0), "minute");
  if (minutes > -24 * 60) return format.format(Math.round(minutes / 60), "hour");
  return format.format(Math.round(minutes / (24 * 60)), "day");
}

/** The language, how to say a message in it with its values, and how to choose the other one. */
export function useWords() {
  useSyncExternalStore(subscribe, () => language);
  const say = (name, values = {}) =>
    words[language][name].replace(/\{(\w+)\}/g, (_, value) => values[value]);
  return { language, say, ago, choose };
}
