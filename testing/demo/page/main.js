// Builds the page: two people, and the operator who sees both.
import { ClientPane } from "./client_pane.js";
import { find, show } from "./dom.js";
import { OperatorPane } from "./operator_pane.js";
import { send } from "./site.js";

/** @param {import("./chat.js").Scene} scene */
function build(scene) {
  /** @type {ClientPane[]} */
  const clients = [];
  const operator = new OperatorPane("operator", () => clients.map((pane) => pane.chat));
  const onChange = () => operator.render();
  clients.push(new ClientPane("client-1", "First person", "ada", scene, onChange));
  clients.push(new ClientPane("client-2", "Second person", "bob", scene, onChange));
}

const { ok, body } = await send("GET", "/scene");
if (ok) build(body);
else show(find(document, "header p"), body.detail);
