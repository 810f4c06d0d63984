// The chat as it is written for Node with the ws package: a loop of send() over a room's sockets.
// POST /pub/ROOM goes to everybody at GET /sub/ROOM. NODE_PATH says where ws is.
"use strict";
const http = require("node:http");
const { WebSocketServer } = require("ws");

const rooms = new Map();
const roomOf = (url) => url.slice(url.lastIndexOf("/") + 1);

const server = http.createServer((request, response) => {
  if (request.method !== "POST") return response.writeHead(404).end();
  let text = "";
  request.setEncoding("utf8");
  request.on("data", (piece) => (text += piece));
  request.on("end", () => {
    for (const viewer of rooms.get(roomOf(request.url)) ?? []) viewer.send(text);
    response.writeHead(202, { "Content-Length": 0 }).end();
  });
});

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
server.on("upgrade", (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (viewer) => {
    const room = roomOf(request.url);
    if (!rooms.has(room)) rooms.set(room, new Set());
    rooms.get(room).add(viewer);
    viewer.on("close", () => rooms.get(room).delete(viewer));
    viewer.on("error", () => {});
  });
});

server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
