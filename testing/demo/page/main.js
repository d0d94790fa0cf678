// Builds the page: two people, and the operator who sees both.
import { ClientPane } from "./client_pane.js";
import { OperatorPane } from "./operator_pane.js";
import { send } from "./site.js";

const { body: scene } = await send("GET", "/scene");

/** @type {ClientPane[]} */
const clients = [];
const operator = new OperatorPane("operator", () => clients.map((pane) => pane.chat));
const onChange = () => operator.render();
clients.push(new ClientPane("client-1", "First person", "ada", scene, onChange));
clients.push(new ClientPane("client-2", "Second person", "bob", scene, onChange));
