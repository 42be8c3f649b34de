// SPDX-License-Identifier: Apache-2.0
// Drives orlopd with npm's json-rpc-2.0: `node library.js SOCKET BUNDLE`.
"use strict";
const net = require("net");
const readline = require("readline");
const { JSONRPCClient, JSONRPCServer, JSONRPCServerAndClient } = require("json-rpc-2.0");

const [path, bundle] = process.argv.slice(2);
const socket = net.connect(path);
const peer = new JSONRPCServerAndClient(
  new JSONRPCServer(),
  new JSONRPCClient((message) => {
    socket.write(JSON.stringify(message) + "\n");
    return Promise.resolve();
  }),
);
readline.createInterface({ input: socket }).on("line", (line) => peer.receiveAndSend(JSON.parse(line)));

async function main() {
  const topics = [];
  const exited = new Promise((resolve) => {
    peer.addMethod("event", (event) => {
      topics.push(event.topic);
      if (event.topic === "exit") resolve();
    });
  });
  await peer.request("events.subscribe", {});
  const state = await peer.request("container.run", { id: "a", bundle });
  const { exitStatus } = await peer.request("container.wait", { id: "a" });
  await exited;
  const refused = await peer.request("container.start", { id: "b" }).then(() => 0, (error) => error.code);
  console.log(JSON.stringify({ id: state.id, exitStatus, refused, topics }));
  socket.destroy();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
