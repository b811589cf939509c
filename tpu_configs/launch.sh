#!/usr/bin/env bash
# Asks Cloud TPU for a recipe's slice by a queued resource, whose machines train as soon as they are there; doesn't wait for them.
#
#   tpu_configs/launch.sh tpu_configs/spirit_base_7b_v5e_256.py BUCKET RUN
#
# Settings from the environment: PROJECT, ZONE, NAME (of the queued resource), RUNTIME (a TPU VM image), REPO (git address), REV (commit),
# SPOT=1 for preemptible capacity, FOLDER (in the bucket, with shards, tokenizer, codec and base weights; default: the bucket itself),
# DRY=1 prints the commands and runs none, WATCH=1 stays and asks anew whenever the slice is taken away, until the run is finished.
#
# The machines start training at each boot, so a restart of theirs needs nothing; the run goes on from its newest checkpoint.
set -euo pipefail

CONFIG=${1:?a recipe of tpu_configs/}
BUCKET=${2:?a Cloud Storage bucket, without gs://}
RUN=${3:?a name for the run}
: "${PROJECT:?a Google Cloud project}" "${ZONE:?a zone that has the slice}" "${REPO:?a git address that the TPU VMs can clone}"
NAME=${NAME:-$(basename "$CONFIG" .py | tr _ -)}
REV=${REV:-$(git rev-parse HEAD)}
ROOT=/mnt/data/${FOLDER:-}

# The accelerator's name and runtime by recipe; v4 and v5p names count cores, two a chip.
case $(basename "$CONFIG" .py) in
  *_2x_v5e_256) ACCELERATOR=v5litepod-256 IMAGE=v2-alpha-tpuv5-lite SLICES=2 ;;
  *_v5e_256) ACCELERATOR=v5litepod-256 IMAGE=v2-alpha-tpuv5-lite SLICES=1 ;;
  *_v4_128) ACCELERATOR=v4-128 IMAGE=tpu-ubuntu2204-base SLICES=1 ;;
  *_v5p_64) ACCELERATOR=v5p-64 IMAGE=v2-alpha-tpuv5 SLICES=1 ;;
  *_v5p_128) ACCELERATOR=v5p-128 IMAGE=v2-alpha-tpuv5 SLICES=1 ;;
  *_v6e_64) ACCELERATOR=v6e-64 IMAGE=v2-alpha-tpuv6e SLICES=1 ;;
  *) echo "error: $CONFIG is no recipe for a TPU pod; choose one of tpu_configs/*_v*.py" >&2; exit 2 ;;
esac
RUNTIME=${RUNTIME:-$IMAGE}

GCLOUD=(gcloud compute tpus queued-resources)
WHERE=(--project "$PROJECT" --zone "$ZONE")
NODES=(--node-id "$NAME")
if [ "$SLICES" -gt 1 ]; then NODES=(--node-count "$SLICES" --node-prefix "$NAME"); fi

BOOT=$(mktemp)
trap 'rm -f "$BOOT"' EXIT
cat > "$BOOT" <<END
#!/usr/bin/env bash
# Runs as root at each boot of each machine of the slice; its output is in: sudo journalctl -u google-startup-scripts
set -e
command -v gcsfuse || { apt-get update -q && apt-get install -qy gcsfuse; }
mkdir -p /mnt/data && { mountpoint -q /mnt/data || gcsfuse --implicit-dirs $BUCKET /mnt/data; }
cd /root
test -d spirit_jax/.git || git clone -q $REPO spirit_jax
cd spirit_jax && git fetch -q && git checkout -q $REV
test -x .venv/bin/python || python3 -m venv .venv
.venv/bin/pip install -q -r requirements.txt 'jax[tpu]==0.10.2'
until .venv/bin/python -m spirit_jax train --distributed --stopped-exit-code 75 --config $CONFIG --root $ROOT --out /mnt/data/runs/$RUN; do
  case \$? in 1 | 2) exit 1 ;; esac  # a diverged run or a mistake: starting again would not help
done
touch /mnt/data/runs/$RUN/finished
END

say() { printf '+ %s\n' "$*" >&2; if [ -z "${DRY:-}" ]; then "$@"; fi; }
state() { "${GCLOUD[@]}" describe "$NAME" "${WHERE[@]}" --format 'value(state.state)' 2> /dev/null || echo ABSENT; }
ask() {
  say "${GCLOUD[@]}" create "$NAME" "${NODES[@]}" --accelerator-type "$ACCELERATOR" --runtime-version "$RUNTIME" ${SPOT:+--spot} \
    --metadata-from-file "startup-script=$BOOT" "${WHERE[@]}"
}

if [ -n "${DRY:-}" ]; then cat "$BOOT"; fi
if [ -n "${DRY:-}" ] || [ "$(state)" = ABSENT ]; then ask; fi
echo "asked for $ACCELERATOR × $SLICES as $NAME; see ${GCLOUD[*]} describe $NAME ${WHERE[*]}, and gs://$BUCKET/runs/$RUN" >&2

while [ -n "${WATCH:-}" ] && [ -z "${DRY:-}" ]; do
  if gcloud storage ls "gs://$BUCKET/runs/$RUN/finished" > /dev/null 2>&1; then exit 0; fi
  case $(state) in
    FAILED | SUSPENDED) say "${GCLOUD[@]}" delete "$NAME" --quiet --force "${WHERE[@]}" ;;
    ABSENT) ask || echo "asking failed; again in a minute" >&2 ;;
  esac
  sleep 60
done
