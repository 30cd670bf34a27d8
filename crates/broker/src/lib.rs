//! The sans-IO MQTT broker: sessions, routing, retained messages, wills, queues and timers.
