export { Fragment, h, options, render } from "preact";
