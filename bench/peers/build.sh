#!/bin/sh
# Build one peer or server from the Go module proxy: build.sh influxd|telegraf|kuiperd|compose [DIR]
set -eu
name=$1
dir=${2:-$HOME/.cache/nabd-peers}
here=$(cd "$(dirname "$0")" && pwd)
[ -x "$dir/$name" ] && { echo "$dir/$name"; exit 0; }
mkdir -p "$dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/$name"/go.* "$here/$name"/tools.go "$work"
cd "$work"
export GOFLAGS=-mod=mod
case $name in
influxd)
    # Flux's core is Rust: its own pkg-config wrapper builds it; the toolchain it pins need not be installed.
    GOBIN=$work go install github.com/influxdata/pkg-config@v0.3.0
    export PKG_CONFIG="$work/pkg-config"
    if command -v rustup >/dev/null; then
        RUSTUP_TOOLCHAIN=$(cd / && rustup show active-toolchain | cut -d' ' -f1)
        export RUSTUP_TOOLCHAIN
    fi
    go build -tags sqlite_foreign_keys,sqlite_json,noasm -o "$dir/$name" github.com/influxdata/influxdb/v2/cmd/influxd
    ;;
telegraf)
    tags=custom,inputs.mqtt_consumer,outputs.influxdb_v2,outputs.discard,parsers.json_v2,serializers.influx
    go build -tags $tags -o "$dir/$name" github.com/influxdata/telegraf/cmd/telegraf
    ;;
compose)
    # Docker's own reader of docker-compose.yml: `compose config` needs no Docker daemon.
    go build -o "$dir/$name" github.com/docker/compose/v2/cmd
    ;;
kuiperd)
    go build -tags core -o "$dir/$name" github.com/lf-edge/ekuiper/v2/cmd/kuiperd
    ;;
*)
    echo "build.sh: unknown name '$name': influxd, telegraf, kuiperd or compose" >&2
    exit 2
    ;;
esac
echo "$dir/$name"
