#!/usr/bin/env bash
# Builds and runs the compose stack for real: deliveries in, series out of its Prometheus, ship killed in between. Needs docker with compose v2.
# Prometheus comes from Debian's package in an image made here, so that no image registry is needed beside the base image.
set -euo pipefail
cd "$(dirname "$0")"
docker compose version >/dev/null 2>&1 || { echo "compose-test: docker with the compose plugin is needed" >&2; exit 69; }

work=$(mktemp -d)
export COMPOSE_PROJECT_NAME=standpipe-test-$$ ACCESS_KEY_FILE=$work/access_key STANDPIPE_PORT=${STANDPIPE_PORT:-18080} PROMETHEUS_PORT=${PROMETHEUS_PORT:-19090}
export PROMETHEUS_IMAGE=standpipe-test-prometheus
finish() {
	status=$?
	[ $status = 0 ] || docker compose logs --no-color --tail 50 >&2 || true
	docker compose down --volumes --timeout 10 >/dev/null 2>&1 || true
	rm -rf "$work"
	exit $status
}
trap finish EXIT

printf 'compose-test-key' >"$work/access_key"
chmod 0444 "$work/access_key"
docker build -q -t "$PROMETHEUS_IMAGE" - >/dev/null <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* && install -d -o 65534 /prometheus
USER 65534
ENTRYPOINT ["prometheus"]
DOCKERFILE
docker compose build -q
docker compose up -d --wait --wait-timeout 90

send() {
	docker compose exec -T ingest standpipe send http://127.0.0.1:8080/ --insecure --key-file /run/secrets/access_key --generate --format "$1" \
		--series 200 --duration "$2" --seed "$3"
}
count() {
	curl -fsS --get "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/query" --data-urlencode "query=count(last_over_time({job=~\"aws_.*\"}[1h]))" |
		sed -n 's/.*"value":\[[^,]*,"\([0-9]*\)"\].*/\1/p'
}
wait_for_more() {
	for _ in $(seq 60); do
		now=$(count)
		[ "${now:-0}" -le "$1" ] || { echo "$now series in Prometheus"; return; }
		sleep 0.5
	done
	echo "compose-test: no new series arrived (still ${now:-0})" >&2
	return 1
}

send mixed 2s 1
wait_for_more 0
before=$(count)
# As a crash, not as `docker kill`, which counts as a stop by hand: the container must come back by itself.
kill -9 "$(docker inspect -f '{{.State.Pid}}' "$(docker compose ps -q ship)")"
send otlp10 2s 2
wait_for_more "$before"
[ "$(docker inspect -f '{{.RestartCount}}' "$(docker compose ps -q ship)")" -ge 1 ]
docker compose stop -t 30 >/dev/null 2>&1
for role in ingest convert ship; do
	code=$(docker inspect -f '{{.State.ExitCode}}' "$(docker compose ps -aq $role)")
	[ "$code" = 0 ] || { echo "compose-test: $role stopped with $code" >&2; exit 1; }
done
echo "compose-test: 1 passed, 0 failed"
