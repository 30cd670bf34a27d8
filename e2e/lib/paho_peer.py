"""paho-mqtt (Python) as a peer: commands on stdin, one JSON line an event on stdout.

Usage: paho_peer.py HOST PORT {4|5} {tcp|websockets} CLIENT_ID [WILL_TOPIC WILL_PAYLOAD]
Commands: {"do":"subscribe","topic":…,"qos":…}, {"do":"publish","topic":…,"payload":…,"qos":…,
"retain":…}, {"do":"die"} (no DISCONNECT), {"do":"stop"}.
"""
import json
import os
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def say(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


def main():
    host, port, version, transport, client_id, *will = sys.argv[1:]
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=int(version), transport=transport)
    if transport == "websockets":
        client.ws_set_options(path="/mqtt")
    if will:
        client.will_set(will[0], will[1], qos=1, retain=True)
    client.on_connect = lambda c, u, flags, reason, p: say("connected", reason=str(reason), present=flags.session_present)
    client.on_message = lambda c, u, m: say(
        "message", topic=m.topic, payload=m.payload.decode(), qos=m.qos, retain=bool(m.retain))
    client.on_subscribe = lambda c, u, mid, codes, p: say("subscribed", codes=[str(code) for code in codes])
    client.on_publish = lambda c, u, mid, reason, p: say("published", mid=mid, reason=str(reason))
    client.on_disconnect = lambda c, u, flags, reason, p: say("disconnected", reason=str(reason))
    client.connect(host, int(port), keepalive=10)
    client.loop_start()
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "subscribe":
            client.subscribe(command["topic"], qos=command["qos"])
        elif command["do"] == "publish":
            client.publish(command["topic"], command["payload"], qos=command["qos"], retain=command.get("retain", False))
        elif command["do"] == "die":
            os._exit(1)
        elif command["do"] == "stop":
            break
    client.disconnect()
    client.loop_stop()


main()
