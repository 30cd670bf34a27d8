"""Prints every temperature that comes. Needs paho-mqtt 2."""
import paho.mqtt.client as mqtt

KEY = "building-7"


def on_connect(client, userdata, flags, reason, properties):
    # Here, because the subscription is gone when a connection is lost: the session is a clean one.
    client.subscribe(f"{KEY}/temperature")


def on_subscribe(client, userdata, mid, reasons, properties):
    print("Subscribed", flush=True)


def on_message(client, userdata, message):
    print("Received", message.payload.decode(), "on", message.topic, flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"{KEY}-subscriber")
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect("localhost", 1883)
client.loop_forever()
