/** Preact and htm, as one module: `html` makes elements, and text in them is always text. */
import { h, render } from "./vendor/preact.js";
import { useEffect } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export { useCallback, useEffect, useLayoutEffect, useRef, useState } from "./vendor/hooks.js";
export { render };

/** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */
export const html = htm.bind(h);

/** An effect that ends by a signal: when one of the values changes, or the component is gone. @param {(signal: AbortSignal) => any} act */
export const useWhile = (act, values) => useEffect(() => {
  const aborting = new AbortController();
  act(aborting.signal);
  return () => aborting.abort();
}, values);

export const into = set => event => set(event.target.value);

/** A handler of a form that is sent: `act` gets its fields, and the form. */
export const sent = act => event => {
  event.preventDefault();
  act(Object.fromEntries(new FormData(event.currentTarget)), event.currentTarget);
};
