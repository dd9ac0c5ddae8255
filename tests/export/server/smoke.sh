#!/usr/bin/env bash
# Runs the contract tests against a stock TensorFlow Serving image: smoke.sh IMAGE
set -euo pipefail
image=$1
if ! docker info >/dev/null 2>&1; then
  echo "serving-smoke needs a running Docker, to run $image" >&2
  exit 1
fi
site=$(mktemp -d)
chmod 755 "$site"
python -m tests.export.server.smoke_site "$site"
container=$(docker run -d -p 127.0.0.1::8500 -p 127.0.0.1::8501 -v "$site:$site:ro" "$image" \
  --model_config_file="$site/models.config" \
  --allow_version_labels_for_unavailable_models=true --xla_cpu_compilation_enabled=true)
trap 'docker logs --tail 20 "$container"; docker rm -f "$container" >/dev/null; rm -rf "$site"' EXIT
port() { docker port "$container" "$1" | head -n 1 | sed 's/.*://'; }
PODWAY_SERVER_PORTS="$(port 8500) $(port 8501)" \
  python -m pytest -q -p no:cacheprovider -m contract tests/export/server
