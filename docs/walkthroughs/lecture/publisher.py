"""Publishes a temperature every three seconds, with QoS 0. Needs paho-mqtt 2."""
import json
import random
import time

import paho.mqtt.client as mqtt

# On a broker that others use too, the key keeps names and topics apart: use a UUID of your own.
KEY = "building-7"

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"{KEY}-publisher")
client.connect("localhost", 1883)
# A thread sends, receives and keeps the connection alive.
client.loop_start()
while True:
    payload = json.dumps({"temperature": random.randint(-10, 30)})
    print("Sending", payload, flush=True)
    client.publish(f"{KEY}/temperature", payload)
    time.sleep(3)
