"""Joins a room by PyPI's websockets, with compression, and prints the texts of so many messages.

python websockets_client.py URL COUNT
"""

import json
import sys

from websockets.sync.client import connect

url, count = sys.argv[1], int(sys.argv[2])
texts = []
with connect(url, subprotocols=["chat-room.v1"], compression="deflate", proxy=None) as socket:
    while len(texts) < count:
        frame = json.loads(socket.recv(timeout=20))
        if frame["type"] == "messages":
            texts.extend(message["text"] for message in frame["messages"])
    print(json.dumps({"extensions": socket.protocol.extensions[0].name, "texts": texts}))
