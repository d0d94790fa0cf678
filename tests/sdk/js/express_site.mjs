// An Express site: sessions, a sign-in, and the handler of examples/express.
import express from "express";
import session from "express-session";
import { chatToken } from "../../../examples/express/chatToken.js";

const app = express();
app.use(session({ secret: "only for tests", resave: false, saveUninitialized: false }));
app.post("/sign-in", (req, res) => {
  const now = Math.floor(Date.now() / 1000);
  Object.assign(req.session, { userId: req.query.user, signedInAt: now });
  if ("undated" in req.query) delete req.session.signedInAt;
  res.json({ user_id: req.session.userId });
});
app.post("/chat-token", express.json(), chatToken);
app.listen(Number(process.argv[2]), "127.0.0.1");
