// A document for React.
import { Window } from "happy-dom";

const window = new Window();
Object.assign(globalThis, { window, document: window.document });
