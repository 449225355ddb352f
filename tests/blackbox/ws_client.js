// SPDX-License-Identifier: MIT
// A client made with npm's ws, for 76_real_clients.py: from stdin {"url", "messages"}; says them all, the last one in
// three frames, and a ping between; prints {"answers", "pongs", "extensions", "code"} when it has closed.
"use strict";
const WebSocket = require("ws");
const { url, messages } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const told = { answers: [], pongs: 0 };
const client = new WebSocket(url, { perMessageDeflate: true });

client.on("open", () => {
    const last = messages.pop();
    const third = Math.ceil(last.length / 3);

    told.extensions = client.extensions;
    messages.forEach((message) => client.send(message));
    client.ping("there?");
    client.send(last.slice(0, third), { fin: false });
    client.send(last.slice(third, 2 * third), { fin: false });
    client.send(last.slice(2 * third), { fin: true });
});
client.on("pong", (data) => { told.pongs += data.toString() === "there?" ? 1 : 0; });
client.on("message", (data) => {
    told.answers.push(JSON.parse(data));
    if (told.answers.length === messages.length + 1) {
        client.close(1000, "done");
    }
});
client.on("error", (error) => { told.error = String(error); });
client.on("close", (code) => {
    told.code = code;
    console.log(JSON.stringify(told));
});
