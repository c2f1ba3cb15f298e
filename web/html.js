/** Preact and htm, as one module: `html` makes elements, and text in them is always text. */
import { h, render } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { useCallback, useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from "./vendor/hooks.js";
export { render };

/** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */
export const html = htm.bind(h);

/** A handler that gives what is typed to `set`. */
export const into = set => event => set(event.target.value);
