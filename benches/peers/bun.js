// The chat as it is written for Bun: publish() of its own WebSocket server.
// POST /pub/ROOM goes to everybody at GET /sub/ROOM.
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request, server) {
    const { pathname } = new URL(request.url);
    const room = pathname.slice(pathname.lastIndexOf("/") + 1);
    if (request.method === "POST") {
      server.publish(room, await request.text());
      return new Response(null, { status: 202 });
    }
    if (pathname.startsWith("/sub/") && server.upgrade(request, { data: { room } })) return;
    return new Response(null, { status: 404 });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    open(viewer) {
      viewer.subscribe(viewer.data.room);
    },
    message() {},
  },
});
console.log(`listening on http://127.0.0.1:${server.port}`);
