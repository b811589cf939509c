#!/usr/bin/env bash
# Requests a recipe's slice from Cloud TPU as a queued resource. Its machines start training when they boot; this script does not wait.
#
#   tpu_configs/launch.sh tpu_configs/pods/spirit_base_7b_v5e_256.py BUCKET RUN
#
# Settings from the environment: PROJECT, ZONE, NAME (of the queued resource), RUNTIME (a TPU VM image), REPO (git address), REV (commit),
# SPOT=1 for preemptible capacity, FOLDER (in the bucket, with shards, tokenizer, codec and base weights; default: the bucket itself),
# MOUNT=1 reads the shards through a read-only mount, for shards that are larger than the machines' disks,
# DRY=1 prints the commands and runs none, WATCH=1 waits, and requests the slice again when it is taken away, until the run is finished.
#
# Each machine copies shards, tokenizer and codec to /mnt/data. Weights are read from the bucket, each machine its part. The run folder is
# gs://BUCKET/runs/RUN, written without a mount.
#
# The machines start training at each boot, so a restarted machine resumes the run from its newest checkpoint by itself.
set -euo pipefail

tell() { printf 'error: %s\n' "$(tr -s '[:space:]' ' ' <<< "$1" | sed 's/ $//')" >&2; }  # prints a message in one line
fail() { tell "$1"; exit "${2:-1}"; }
need() { if [ -z "${!1:-}" ]; then fail "$1 is not set: $2" 2; fi; }

CONFIG=${1:-} BUCKET=${2:-} RUN=${3:-}
need CONFIG "a recipe of tpu_configs/"
need BUCKET "a Cloud Storage bucket, without gs://"
need RUN "a name for the run"
need PROJECT "a Google Cloud project"
need ZONE "a zone that has the slice"
need REPO "a git address that the TPU VMs can clone"
NAME=${NAME:-$(basename "$CONFIG" .py | tr _ -)}
REV=${REV:-$(git rev-parse HEAD)}
SOURCE=gs://$BUCKET${FOLDER:+/$FOLDER} OUT=gs://$BUCKET/runs/$RUN

# The accelerator's name and runtime by recipe; v4 and v5p names count cores, two a chip.
case $(basename "$CONFIG" .py) in
  *_2x_v5e_256) ACCELERATOR=v5litepod-256 IMAGE=v2-alpha-tpuv5-lite SLICES=2 ;;
  *_v5e_256) ACCELERATOR=v5litepod-256 IMAGE=v2-alpha-tpuv5-lite SLICES=1 ;;
  *_v4_128) ACCELERATOR=v4-128 IMAGE=tpu-ubuntu2204-base SLICES=1 ;;
  *_v5p_64) ACCELERATOR=v5p-64 IMAGE=v2-alpha-tpuv5 SLICES=1 ;;
  *_v5p_128) ACCELERATOR=v5p-128 IMAGE=v2-alpha-tpuv5 SLICES=1 ;;
  *_v6e_64) ACCELERATOR=v6e-64 IMAGE=v2-alpha-tpuv6e SLICES=1 ;;
  *) fail "$CONFIG is no recipe for a TPU pod; choose one of tpu_configs/pods/" 2 ;;
esac
if [ ! -f "$CONFIG" ]; then fail "$CONFIG is no file; use tpu_configs/pods/$(basename "$CONFIG")" 2; fi
if [ -z "${DRY:-}" ] && ! command -v gcloud > /dev/null; then fail "gcloud is not on the PATH; install the Google Cloud CLI" 2; fi
RUNTIME=${RUNTIME:-$IMAGE}

GCLOUD=(gcloud compute tpus queued-resources)
WHERE=(--project "$PROJECT" --zone "$ZONE")
NODES=(--node-id "$NAME")
if [ "$SLICES" -gt 1 ]; then NODES=(--node-count "$SLICES" --node-prefix "$NAME"); fi

# Parts of the boot script: the shards, tokenizer and codec in /mnt/data.
copy_data() {
  cat <<END
for part in shards tokenizer codec; do
  mkdir -p /mnt/data/\$part && gcloud storage rsync --recursive $SOURCE/\$part /mnt/data/\$part
done
END
}
mount_data() {
  cat <<END
if ! command -v gcsfuse; then
  curl -fsS https://packages.cloud.google.com/apt/doc/apt-key.gpg -o /usr/share/keyrings/cloud.google.asc
  echo "deb [signed-by=/usr/share/keyrings/cloud.google.asc] https://packages.cloud.google.com/apt gcsfuse-\$(lsb_release -cs) main" \\
    > /etc/apt/sources.list.d/gcsfuse.list
  apt-get update -q && apt-get install -qy gcsfuse
fi
mkdir -p /mnt/data && { mountpoint -q /mnt/data || gcsfuse -o ro --implicit-dirs ${FOLDER:+--only-dir $FOLDER }$BUCKET /mnt/data; }
END
}

TEMPORARY=$(mktemp -d)
trap 'rm -rf "$TEMPORARY"' EXIT
BOOT=$TEMPORARY/boot
cat > "$BOOT" <<END
#!/usr/bin/env bash
# Runs as root at each boot of each machine of the slice; its output is in: sudo journalctl -u google-startup-scripts
set -e
$(if [ -n "${MOUNT:-}" ]; then mount_data; else copy_data; fi)
PYTHON=python3
if ! python3 -c 'import sys, ensurepip; assert sys.version_info >= (3, 11)'; then  # Ubuntu 22.04 has 3.10
  PYTHON=python3.11
  command -v python3.11 || { apt-get update -q && apt-get install -qy python3.11 python3.11-venv; }
fi
cd /root
test -d spirit_jax/.git || git clone -q $REPO spirit_jax
cd spirit_jax && git fetch -q && git checkout -q $REV
test -x .venv/bin/python || \$PYTHON -m venv .venv
.venv/bin/pip install -q -r requirements.txt -r requirements-gcs.txt 'jax[tpu]==0.10.2'
until .venv/bin/python -m spirit_jax train --distributed --stopped-exit-code 75 --config $CONFIG --root /mnt/data --out $OUT \
  --set checkpoint.init_from=$SOURCE/base; do
  case \$? in 1 | 2) exit 1 ;; esac  # a diverged run or a mistake: starting again would not help
done
echo done | gcloud storage cp - $OUT/finished
END

# Prints and runs a gcloud command; prompts are answered by their defaults. An error is printed in one line.
act() {
  printf '+ %s\n' "$*" >&2
  if [ -n "${DRY:-}" ]; then return; fi
  "$@" > "$TEMPORARY/said" 2>&1 || { tell "$(cat "$TEMPORARY/said")"; return 1; }
}
# The state of the queued resource, ABSENT if there is none. Fails if it cannot be determined.
state() {
  if ! "${GCLOUD[@]}" describe "$NAME" --quiet "${WHERE[@]}" --format 'value(state.state)' 2> "$TEMPORARY/said"; then
    grep -q NOT_FOUND "$TEMPORARY/said" || fail "$(cat "$TEMPORARY/said")"
    echo ABSENT
  fi
}
ask() {
  act "${GCLOUD[@]}" create "$NAME" "${NODES[@]}" --accelerator-type "$ACCELERATOR" --runtime-version "$RUNTIME" ${SPOT:+--spot} \
    --metadata-from-file "startup-script=$BOOT" --quiet "${WHERE[@]}"
}

there=ABSENT
if [ -n "${DRY:-}" ]; then cat "$BOOT"; else there=$(state); fi
if [ "$there" = ABSENT ]; then
  ask
  echo "asked for $ACCELERATOR × $SLICES as $NAME; see ${GCLOUD[*]} describe $NAME ${WHERE[*]}, and $OUT" >&2
elif [ -z "${WATCH:-}" ]; then
  fail "$NAME is there already, $there: watch it with WATCH=1, choose another NAME, or delete it: ${GCLOUD[*]} delete $NAME --force ${WHERE[*]}"
fi

while [ -n "${WATCH:-}" ] && [ -z "${DRY:-}" ]; do
  if gcloud storage ls "$OUT/finished" > /dev/null 2>&1; then exit 0; fi
  case $(state) in
    FAILED | SUSPENDED) act "${GCLOUD[@]}" delete "$NAME" --quiet --force "${WHERE[@]}" || true ;;
    ABSENT) ask || echo "asking failed; again in a minute" >&2 ;;
  esac
  sleep 60
done
