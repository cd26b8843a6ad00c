# Sourced by the peers: real mail servers that receive our mail in tests, or relay through us.
#
# Each peer NAME is a script with the commands
#   install   what it needs, kept under target/test-tools
#   start     prints `PORT MAILDIR` once it greets; it takes mail for any domain, offers STARTTLS
#   stop
# All runs on 127.0.0.1, on free ports, in the folder target/peers/NAME. Exit code 77: this
# machine cannot run the peer (no right to mount an overlay); the reason is on stderr.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
NAME=$(basename "$0")
# Postfix's own users must be able to reach it, which they cannot below a home directory of 0700.
STATE=${POSTROAD_PEERS:-/var/tmp/postroad-peers-$(printf '%s' "$ROOT" | cksum | cut -d' ' -f1)}/$NAME
MAILDIR=$STATE/mail
TOOLS=$ROOT/target/test-tools
# Mail is written as the one who runs the tests, so that they can read it; Postfix refuses root.
KEEPER=${SUDO_UID:-$(id -u)}
[ "$KEEPER" -ne 0 ] || KEEPER=65534

need_root() {
    [ "$(id -u)" -eq 0 ] || exec sudo \
        --preserve-env=POSTROAD_PEERS,SMARTHOST_PORT,SMARTHOST_USER,SMARTHOST_PASSWORD "$0" "$@"
}

# Below those that the kernel gives to clients, and beside those that the tests give out.
free_port() {
    python3 - <<'PORT'
import random, socket
while True:
    port = random.randrange(10000, 12000)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break
PORT
}

fresh_state() {
    stop_daemon
    rm -rf "$STATE"
    mkdir -p "$STATE" "$MAILDIR"/{cur,new,tmp}
    chown -R "$KEEPER" "$MAILDIR"
    chmod 0755 "$STATE"
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$NAME.example" \
        -keyout "$STATE/tls.key" -out "$STATE/tls.pem" 2>/dev/null
    chmod 0600 "$STATE/tls.key"
}

# run_daemon COMMAND…: in the background, with its output in a file and its id beside it.
run_daemon() {
    setsid "$@" </dev/null >"$STATE/log" 2>&1 &
    echo $! >"$STATE/pid"
}

wait_for_greeting() {
    local port=$1
    for _ in $(seq 150); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port" && read -r -t 5 line <&3 &&
            [[ $line == 220* ]] && printf 'QUIT\r\n' >&3 && read -r -t 5 <&3) 2>/dev/null; then
            return 0
        fi
        sleep 0.2
    done
    echo "$NAME does not greet on port $port:" >&2
    tail -n 20 "$STATE/log" >&2
    stop_daemon
    return 1
}

stop_daemon() {
    local pid
    [ -e "$STATE/pid" ] || return 0
    pid=$(cat "$STATE/pid")
    # The daemon leads a session of its own: the group is all of it.
    kill -TERM -- "-$pid" 2>/dev/null || true
    for _ in $(seq 50); do
        kill -0 -- "-$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL -- "-$pid" 2>/dev/null || true
    rm -f "$STATE/pid"
}

# in_layer COMMAND…: runs it as root of a copy of this machine whose changes lie in a layer of
# their own. Debian's mail servers conflict as packages; in layers they stand beside each other.
# The mounts live in a namespace of their own and end with the command.
in_layer() {
    local layer=$TOOLS/layers/$NAME
    mkdir -p "$layer"
    unshare --mount --propagation private bash -euc '
        layer=$1 state=$2; shift 2
        root=/run/postroad-layer-$$
        mkdir -p "$layer/upper" "$layer/work" "$root" || exit 77
        trap "umount -l $root 2>/dev/null || true; rmdir $root" EXIT
        # index=off, because the lower layer is the live system.
        mount -t overlay overlay -o "lowerdir=/,upperdir=$layer/upper,workdir=$layer/work" "$root" ||
            { echo "no right to mount an overlay here" >&2; exit 77; }
        mount --bind /proc "$root/proc"
        mount --bind /dev "$root/dev"
        mkdir -p "$root$state"
        mount --bind "$state" "$root$state"
        chroot "$root" "$@"
    ' layer "$layer" "$STATE" "$@"
}

# The layer holds a copy of the package database, so it is made anew when the machine changed.
install_in_layer() {
    local mark=$TOOLS/layers/$NAME/made want
    want=$(dpkg-query -W | sha256sum)
    [ "$(cat "$mark" 2>/dev/null)" != "$want" ] || return 0
    rm -rf "${TOOLS:?}/layers/$NAME"
    mkdir -p "$STATE"
    in_layer "$ROOT/scripts/packages" "$@" </dev/null >&2
    printf '%s\n' "$want" >"$mark"
}

# commands "$@": the script's own install and start, and the common stop.
commands() {
    case "${1:-}" in
        install) install ;;
        start) start ;;
        stop) stop_daemon ;;
        *) echo "usage: $0 install|start|stop" >&2; exit 2 ;;
    esac
}
