#!/bin/sh
# Makes a certificate authority and a certificate for localhost, for 30 days, in the folder that is named.
#
#   sh make-keys.sh FOLDER
set -eu
mkdir -p "$1"
cd "$1"

# The authority. Clients need ca.pem; ca.key signs, and stays here.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
  -subj '/CN=Our own authority' -keyout ca.key -out ca.pem 2> openssl.log

# The server's key, and its certificate with the names under which clients call it.
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
  -subj '/CN=localhost' -keyout server.key -out server.csr 2>> openssl.log
echo 'subjectAltName=DNS:localhost,IP:127.0.0.1' > names
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
  -extfile names -out server.pem 2>> openssl.log

echo "$1 has ca.pem for clients, and server.pem and server.key for the server"
