"""aiomqtt as a client of the compatibility table: see child.mjs."""

import asyncio
import json
import sys
from urllib.parse import urlparse

import aiomqtt


def tell(**what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def make(options):
    url = urlparse(options["url"])
    more = {}
    if options["version"] == 5:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = options["expiry"]
        more = {"clean_start": options["clean"], "properties": properties}
    else:
        more = {"clean_session": options["clean"]}
    if url.scheme == "ws":
        more |= {"transport": "websockets", "websocket_path": url.path}
    will = options.get("will")
    if will:
        more["will"] = aiomqtt.Will(will["topic"], will["payload"], will["qos"], will["retain"])
    version = aiomqtt.ProtocolVersion.V5 if options["version"] == 5 else aiomqtt.ProtocolVersion.V311
    return aiomqtt.Client(url.hostname, url.port, identifier=options["id"], protocol=version, **more)


async def listen(client):
    async for message in client.messages:
        tell(
            message={
                "topic": str(message.topic),
                "payload": message.payload.decode(),
                "qos": message.qos,
                "retain": bool(message.retain),
            }
        )


async def main():
    loop = asyncio.get_running_loop()
    client = listening = None
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        what = order.pop("do")
        try:
            if what == "connect":
                client = make(order)
                await client.__aenter__()
                listening = asyncio.create_task(listen(client))
                # aiomqtt does not tell whether the session was there.
                tell(ok=True, session=None)
            elif what == "subscribe":
                await client.subscribe(order["filter"], order["qos"])
                tell(ok=True)
            elif what == "publish":
                await client.publish(order["topic"], order["payload"] or None, order["qos"], order["retain"])
                tell(ok=True)
            else:
                listening.cancel()
                await client.__aexit__(None, None, None)
                tell(ok=True)
        except Exception as error:  # The runner tells it.
            tell(error=f"{type(error).__name__}: {error}")


asyncio.run(main())
