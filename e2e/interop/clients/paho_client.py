"""paho-mqtt 1 and 2 as a client of the compatibility table: see child.mjs."""

import json
import queue
import sys
import threading
from urllib.parse import urlparse

import paho.mqtt.client as mqtt

lock = threading.Lock()


def tell(**what):
    with lock:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


def make(options):
    url = urlparse(options["url"])
    transport = "websockets" if url.scheme == "ws" else "tcp"
    version = mqtt.MQTTv5 if options["version"] == 5 else mqtt.MQTTv311
    arguments = {"client_id": options["id"], "transport": transport, "protocol": version}
    if version == mqtt.MQTTv311:
        arguments["clean_session"] = options["clean"]
    if hasattr(mqtt, "CallbackAPIVersion"):
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, **arguments)
    else:
        client = mqtt.Client(**arguments)
    if transport == "websockets":
        client.ws_set_options(path=url.path)
    will = options.get("will")
    if will:
        client.will_set(will["topic"], will["payload"], will["qos"], will["retain"])
    return client, url


class Peer:
    def __init__(self, options):
        self.events = queue.Queue()
        self.client, url = make(options)
        self.client.on_connect = lambda c, u, flags, code, *rest: self.events.put((flags, code))
        self.client.on_subscribe = lambda c, u, mid, *rest: self.events.put(("subscribed", mid))
        self.client.on_message = lambda c, u, m: tell(
            message={"topic": m.topic, "payload": m.payload.decode(), "qos": m.qos, "retain": bool(m.retain)}
        )
        more = {}
        if options["version"] == 5:
            from paho.mqtt.packettypes import PacketTypes
            from paho.mqtt.properties import Properties

            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = options["expiry"]
            more = {"clean_start": options["clean"], "properties": properties}
        self.client.connect(url.hostname, url.port, 60, **more)
        self.client.loop_start()
        flags, code = self.events.get(timeout=10)
        if int(getattr(code, "value", code)) != 0:
            raise RuntimeError(f"refused: {code}")
        present = flags["session present"] if isinstance(flags, dict) else flags.session_present
        self.session = bool(present)

    def subscribe(self, filter, qos):
        _, mid = self.client.subscribe(filter, qos)
        if self.events.get(timeout=10) != ("subscribed", mid):
            raise RuntimeError("another answer than SUBACK")

    def publish(self, topic, payload, qos, retain):
        self.client.publish(topic, payload or None, qos, retain).wait_for_publish(10)

    def disconnect(self):
        self.client.disconnect()
        self.client.loop_stop()


peer = None
for line in sys.stdin:
    order = json.loads(line)
    what = order.pop("do")
    try:
        if what == "connect":
            peer = Peer(order)
            tell(ok=True, session=peer.session)
        else:
            getattr(peer, what)(**order)
            tell(ok=True)
    except Exception as error:  # The runner tells it.
        tell(error=f"{type(error).__name__}: {error}")
