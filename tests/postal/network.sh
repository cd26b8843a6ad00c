# Called by tests/postal.rs in namespaces of network and mounts of its own.
ip link set lo up
echo '127.0.0.1 localhost mail.shop.test' >hosts
mount --bind hosts /etc/hosts
"$POSTROAD" demo --port-base 440 --ready-file ready.json --data-dir data --log error >demo.log 2>&1 &
demo=$!
trap 'kill $demo; wait $demo' EXIT
for _ in $(seq 600); do
    [ -e ready.json ] && break
    sleep 0.1
done
export KEY FROM TO
KEY=$(python3 -c 'import json; print(json.load(open("ready.json"))["api_key"])')
FROM=$(python3 -c 'import json; print(json.load(open("ready.json"))["from"])')
TO=bob@$(python3 -c 'import json; print(json.load(open("ready.json"))["accepting_domain"])')
python3 -c 'import ssl; print(ssl.get_server_certificate(("127.0.0.1", 443)))' >ca.pem
export NODE_EXTRA_CA_CERTS=$PWD/ca.pem REQUESTS_CA_BUNDLE=$PWD/ca.pem
node --no-deprecation -e "$NODE_CLIENT"
python3 -c "$PYTHON_CLIENT"
